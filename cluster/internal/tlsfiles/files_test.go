package tlsfiles

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster/internal/testca"
)

// names are those that an authority issued.
func names(files []string) Names {
	return Names{Certificate: files[0], Key: files[1], Authorities: files[2]}
}

func load(t testing.TB, files []string) *Files {
	t.Helper()
	f, err := Load(names(files))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLoadExplainsItself(t *testing.T) {
	a := testca.New(t)
	good, other := a.Issue("n1"), a.Issue("n2")
	none := filepath.Join(t.TempDir(), "none")
	for what, files := range map[string][]string{
		"no certificate":    {none, good[1], good[2]},
		"another key":       {good[0], other[1], good[2]},
		"no authorities":    {good[0], good[1], none},
		"empty authorities": {good[0], good[1], good[1]},
	} {
		if _, err := Load(names(files)); err == nil {
			t.Errorf("%s: no error", what)
		} else {
			t.Logf("%s: %v", what, err)
		}
	}
}

// The next authority may be in the file before it is valid, and the last one after.
func TestTheAuthorityThatIsValidCounts(t *testing.T) {
	now := time.Now()
	old := span{until: now.Add(-time.Hour)}
	present := span{from: now.Add(-time.Hour), until: now.Add(time.Hour)}
	next := span{from: now.Add(time.Minute), until: now.Add(1000 * time.Hour)}
	for _, order := range [][]span{{old, present, next}, {next, present, old}, {present, next, old}} {
		var best span
		for _, s := range order {
			if s.outlasts(best, now) {
				best = s
			}
		}
		if best != present {
			t.Errorf("%v counts", best)
		}
	}
}
