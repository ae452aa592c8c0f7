package tlsfiles

import (
	"crypto/tls"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster/internal/hush"
	"github.com/troupe-raft/troupe/cluster/internal/testca"
	"github.com/troupe-raft/troupe/cluster/internal/testlog"
)

func TestCertificatesThatDoNotFitAreNotUsed(t *testing.T) {
	a := testca.New(t)
	files, next := a.Issue("n1"), a.Issue("n1")
	var log testlog.Log
	r := &renewal{of: load(t, files), logger: log.Logger(), warned: time.Now()}
	old, now := r.of.Content(), time.Now()
	if r.look(now); r.of.Content() != old || log.String() != "" {
		t.Errorf("nothing changed:\n%s", &log)
	}
	testca.Replace(t, files[0], next[0]) // and the key some seconds later
	for range 4 {
		r.look(now)
		now = now.Add(time.Second)
	}
	if r.of.Content() != old || log.String() != "" {
		t.Errorf("between two files:\n%s", &log)
	}
	for range 70 {
		r.look(now)
		now = now.Add(time.Second)
	}
	if n := log.Count("level=WARN", files[0], "stay in use"); r.of.Content() != old || n != 2 {
		t.Errorf("%d warnings in 70 seconds:\n%s", n, &log)
	}
	testca.Replace(t, files[1], next[1])
	if r.look(now); r.of.Content() == old || log.Count("level=INFO", "read again", "expires=") != 1 {
		t.Errorf("both files:\n%s", &log)
	}
	// Expired certificates are not used; when a file is gone, the certificates before stay in use.
	current := r.of.Content()
	expired := a.IssueFor("n1", -2*time.Hour, -time.Hour)
	testca.Replace(t, files[0], expired[0])
	testca.Replace(t, files[1], expired[1])
	r.look(now)
	r.look(now.Add(hush.Time))
	_ = os.Remove(files[0])
	r.look(now.Add(2 * hush.Time))
	if r.of.Content() != current || log.Count("level=WARN", "expired on") != 1 || log.Count("level=WARN", "no such file") != 1 {
		t.Errorf("expired ones, and then none:\n%s", &log)
	}
}

func TestCertificatesThatExpireAreSaid(t *testing.T) {
	a := testca.New(t)
	now := time.Now()
	for _, files := range [][]string{a.IssueFor("n1", -time.Hour, -time.Minute), a.IssueFor("n1", time.Minute, time.Hour)} {
		pair, err := tls.LoadX509KeyPair(files[0], files[1])
		if err != nil {
			t.Fatal(err)
		}
		day := pair.Leaf.NotAfter
		if day.After(now) {
			day = pair.Leaf.NotBefore
		}
		_, err = Load(names(files))
		if err == nil || !strings.Contains(err.Error(), files[0]) || !strings.Contains(err.Error(), date(day)) {
			t.Errorf("%v: %v", day, err)
		}
	}
	var log testlog.Log
	files := a.IssueFor("n1", -time.Hour, 10*time.Hour)
	r := &renewal{of: load(t, files), logger: log.Logger()}
	for range 49 { // an hour each
		r.look(now)
		now = now.Add(time.Hour)
	}
	soon, expired := log.Count("level=WARN", "expires soon", files[0]), log.Count("level=WARN", "has expired", files[0])
	if soon != 1 || expired != 2 || log.Count("level=WARN") != 3 {
		t.Errorf("in two days:\n%s", &log)
	}
	distant := &renewal{of: r.of, logger: log.Logger()}
	distant.of.Content().spans = []span{{files[0], now, now.Add(31 * 24 * time.Hour)}}
	before := log.String()
	if distant.look(now); log.String() != before {
		t.Errorf("a month before:\n%s", &log)
	}
}
