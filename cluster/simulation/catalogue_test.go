package simulation

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// knownBug is an entry of CATALOGUE.md: a heading with an id, and lines that begin with a key.
type knownBug struct {
	id    string
	keys  []string
	value map[string]string
}

func catalogue(t *testing.T) []knownBug {
	t.Helper()
	text, err := os.ReadFile("CATALOGUE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(strings.ReplaceAll(string(text), "\n  ", " "), "\n## ") // a line goes on in lines that are indented
	heading, line := regexp.MustCompile(`^### ([A-Z]-\d\d) \S`), regexp.MustCompile(`^- ([A-Z][a-z ]+): (\S.*)$`)
	var all []knownBug
	for _, text := range strings.Split(body, "\n")[1:] {
		if m := heading.FindStringSubmatch(text); m != nil {
			all = append(all, knownBug{id: m[1], value: map[string]string{}})
		} else if m := line.FindStringSubmatch(text); m != nil && len(all) > 0 {
			e := &all[len(all)-1]
			e.keys, e.value[m[1]] = append(e.keys, m[1]), m[2]
		} else if text != "" && !strings.HasPrefix(text, "## ") {
			t.Errorf("neither an id nor a line of an entry: %q", text)
		}
	}
	return all
}

func TestTheCatalogueIsWhole(t *testing.T) {
	const groups = "ELCPSMTRXFNGO"
	all := catalogue(t)
	rank := func(e knownBug) string { return string(rune('a'+strings.Index(groups, e.id[:1]))) + e.id }
	for i, e := range all {
		if !strings.Contains(groups, e.id[:1]) || i > 0 && rank(all[i-1]) >= rank(e) {
			t.Errorf("%s is of no group, there twice, or not in its place", e.id)
		}
	}
	if len(all) != 131 {
		t.Errorf("%d entries", len(all))
	}
}

// Every entry says what the bug was and where it comes from, and then which tests cover it, why it cannot occur, or what it waits for.
func TestEntriesOfTheCatalogueSayWhatCoversThem(t *testing.T) {
	comes := []string{
		"membership changes", "transfer", "sessions", "leases", "forwarding", "quiescence", "deleted groups", "mixed versions",
	}
	ends := []string{"Test, Shows", "Test, Shows, Waits for", "Test, Shows, Open", "Cannot occur", "Waits for"}
	for _, e := range catalogue(t) {
		if end, ok := strings.CutPrefix(strings.Join(e.keys, ", "), "Bug, Source, "); !ok || !slices.Contains(ends, end) {
			t.Errorf("%s has the lines %q", e.id, e.keys)
		}
		for what := range strings.SplitSeq(e.value["Waits for"], ", ") {
			if what != "" && !slices.Contains(comes, what) {
				t.Errorf("%s waits for %q, which is none of %q", e.id, what, comes)
			}
		}
	}
}

// An entry names functions that exist once, and transcripts that mention it. A function or transcript that mentions an entry is named
// by it.
func TestEntriesOfTheCatalogueNameTheirTests(t *testing.T) {
	functions, transcripts := map[string]int{}, map[string]string{}
	eachFile(t, "_test.go", func(_, content string) {
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(\w+ \*testing\.T\)`).FindAllStringSubmatch(content, -1) {
			functions[m[1]]++
		}
	})
	eachFile(t, ".txt", func(path, content string) { transcripts[path] = content })
	named := map[string]string{}
	for _, e := range catalogue(t) {
		named[e.id] = e.value["Test"]
		for place := range strings.SplitSeq(e.value["Test"], ", ") {
			name := strings.Trim(place, "`")
			switch {
			case name == "":
			case strings.HasPrefix(name, "Test"):
				if functions[name] != 1 {
					t.Errorf("%s names %s: there are %d of that name", e.id, name, functions[name])
				}
			case !strings.Contains(transcripts[name], e.id):
				t.Errorf("%s names %s, which does not exist, or does not mention it", e.id, name)
			}
		}
	}
	must := func(id, name string) {
		if !strings.Contains(named[id], "`"+name+"`") {
			t.Errorf("%s is not named by %s of the catalogue", name, id)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		if m := regexp.MustCompile(`^Test([A-Z])(\d\d)[A-Z]`).FindStringSubmatch(name); m != nil {
			must(m[1]+"-"+m[2], name)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(transcripts)) {
		for _, id := range regexp.MustCompile(`\b[A-Z]-\d\d\b`).FindAllString(transcripts[path], -1) {
			must(id, path)
		}
	}
}

// eachFile calls to for every file of the repository whose name has the suffix.
func eachFile(t *testing.T, suffix string, to func(path, content string)) {
	t.Helper()
	root := os.DirFS(filepath.Join("..", ".."))
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, suffix):
			return nil
		}
		content, err := fs.ReadFile(root, path)
		to(path, string(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
