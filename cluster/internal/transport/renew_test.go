package transport

import (
	"crypto/tls"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// replace puts the content of one file in another's place, at once.
func replace(t testing.TB, file, with string) {
	t.Helper()
	data, err := os.ReadFile(with)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func TestCertificatesThatDoNotFitAreNotUsed(t *testing.T) {
	a := newAuthority(t)
	files, next := a.issue("n1"), a.issue("n1")
	var log record
	r := &renewal{tls: mustLoad(t, files), logger: log.logger(), warned: time.Now()}
	old, now := r.tls.current.Load(), time.Now()
	if r.look(now); r.tls.current.Load() != old || log.String() != "" {
		t.Errorf("nothing changed:\n%s", &log)
	}
	replace(t, files[0], next[0]) // and the key some seconds later
	for range 4 {
		r.look(now)
		now = now.Add(time.Second)
	}
	if r.tls.current.Load() != old || log.String() != "" {
		t.Errorf("between two files:\n%s", &log)
	}
	for range 70 {
		r.look(now)
		now = now.Add(time.Second)
	}
	if n := log.count("level=WARN", files[0], "stay in use"); r.tls.current.Load() != old || n != 2 {
		t.Errorf("%d warnings in 70 seconds:\n%s", n, &log)
	}
	replace(t, files[1], next[1])
	if r.look(now); r.tls.current.Load() == old || log.count("level=INFO", "read again", "expires=") != 1 {
		t.Errorf("both files:\n%s", &log)
	}
	// Expired certificates are not used; when a file is gone, the certificates before stay in use.
	current := r.tls.current.Load()
	expired := a.issueFor("n1", -2*time.Hour, -time.Hour)
	replace(t, files[0], expired[0])
	replace(t, files[1], expired[1])
	r.look(now)
	r.look(now.Add(hushTime))
	_ = os.Remove(files[0])
	r.look(now.Add(2 * hushTime))
	if r.tls.current.Load() != current || log.count("level=WARN", "expired on") != 1 || log.count("level=WARN", "no such file") != 1 {
		t.Errorf("expired ones, and then none:\n%s", &log)
	}
}

func TestCertificatesThatExpireAreSaid(t *testing.T) {
	a := newAuthority(t)
	now := time.Now()
	for _, files := range [][]string{a.issueFor("n1", -time.Hour, -time.Minute), a.issueFor("n1", time.Minute, time.Hour)} {
		pair, err := tls.LoadX509KeyPair(files[0], files[1])
		if err != nil {
			t.Fatal(err)
		}
		day := pair.Leaf.NotAfter
		if day.After(now) {
			day = pair.Leaf.NotBefore
		}
		_, err = LoadTLS(files[0], files[1], files[2])
		if err == nil || !strings.Contains(err.Error(), files[0]) || !strings.Contains(err.Error(), date(day)) {
			t.Errorf("%v: %v", day, err)
		}
	}
	var log record
	files := a.issueFor("n1", -time.Hour, 10*time.Hour)
	r := &renewal{tls: mustLoad(t, files), logger: log.logger()}
	for range 49 { // an hour each
		r.look(now)
		now = now.Add(time.Hour)
	}
	soon, expired := log.count("level=WARN", "expires soon", files[0]), log.count("level=WARN", "has expired", files[0])
	if soon != 1 || expired != 2 || log.count("level=WARN") != 3 {
		t.Errorf("in two days:\n%s", &log)
	}
	distant := &renewal{tls: r.tls, logger: log.logger()}
	distant.tls.current.Load().spans = []span{{files[0], now, now.Add(31 * 24 * time.Hour)}}
	before := log.String()
	if distant.look(now); log.String() != before {
		t.Errorf("a month before:\n%s", &log)
	}
}

// Both sides use new certificates and authorities without a restart.
func TestNewCertificatesAreUsed(t *testing.T) {
	if !isolate(t) {
		return
	}
	const host = "127.0.0.1"
	ours, theirs := newAuthority(t), newAuthority(t)
	files, next := ours.issue(host), theirs.issue(host)
	old, fresh := config(t, ours.issue(host)), config(t, next)
	dialed := make(chan bool, 100)
	peer := serveRaw(t, func(raw net.Conn) {
		c := tls.Server(raw, fresh)
		dialed <- c.Handshake() == nil
	})
	c := testConfig(t, host+":0", peer)
	c.TLS = mustLoad(t, files)
	_, tr := start(t, c)
	// accepted says whether a client's certificate and its authorities suit the node.
	accepted := func(c *tls.Config) bool {
		conn, err := tls.Dial("tcp", tr.Address(), c)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		_, err = conn.Read(make([]byte, 1)) // the server's settings, or its refusal
		return err == nil
	}
	if !accepted(old) || accepted(fresh) || <-dialed {
		t.Fatal("before the files change")
	}
	for i := range files {
		replace(t, files[i], next[i])
	}
	eventually(t, 4*renewEvery, "the new ones are accepted", func() bool { return accepted(fresh) })
	if accepted(old) {
		t.Error("the old ones are still accepted")
	}
	eventually(t, 4*time.Second, "the new ones are shown", func() bool { return <-dialed })
}
