package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

// serveRaw accepts connections at a free address.
func serveRaw(t testing.TB, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

// overTLS does a handshake and listens.
func overTLS(c *tls.Config) func(net.Conn) {
	return func(raw net.Conn) { _, _ = io.Copy(io.Discard, tls.Server(raw, c)) }
}

// says answers with bytes before it listens.
func says(answer ...byte) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Write(answer)
		_, _ = io.Copy(io.Discard, c)
	}
}

var emptySettings = []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}

func TestTroublesWithTLSAreSaidByBothSides(t *testing.T) {
	if !isolate(t) {
		return
	}
	const host = "127.0.0.1"
	ours, theirs := newAuthority(t), newAuthority(t)
	expired := config(t, ours.issueFor(host, -2*time.Hour, -time.Hour))
	good, foreign := config(t, ours.issue(host)), config(t, theirs.issue(host))
	expired.MinVersion = tls.VersionTLS13
	distrusts := good.Clone()
	distrusts.ClientCAs, distrusts.RootCAs = foreign.ClientCAs, foreign.RootCAs
	stranger := foreign.Clone()
	stranger.RootCAs = good.RootCAs
	nobody := good.Clone()
	nobody.Certificates = nil

	peers := map[trouble]string{
		troubleAuthority: serveRaw(t, overTLS(foreign)),
		troubleExpired:   serveRaw(t, overTLS(expired)),
		troubleName:      serveRaw(t, overTLS(config(t, ours.issue("n9")))),
		troubleRefused:   serveRaw(t, overTLS(distrusts)),
		troublePlain:     serveRaw(t, says(emptySettings...)),
	}
	var log record
	c := testConfig(t, host+":0")
	for _, address := range peers {
		c.Peers = append(c.Peers, address)
	}
	c.TLS, c.Logger = mustLoad(t, ours.issue(host)), log.logger()
	_, tr := start(t, c)
	for w, address := range peers {
		eventually(t, 5*time.Second, "the dialer says: "+troubleWords[w], func() bool {
			return log.count("level=WARN", troubleWords[w], "peer="+address, "address="+tr.Address(), "from="+host, "to="+address, "error=") == 1
		})
	}
	for w, c := range map[trouble]*tls.Config{
		troubleAuthority: stranger, troubleExpired: expired, troubleTLS: nobody, troubleRefused: distrusts, troublePlain: nil,
	} {
		for range 3 {
			greetRaw(t, tr.Address(), c)
		}
		eventually(t, 5*time.Second, "the door says: "+troubleWords[w], func() bool {
			return log.count("level=WARN", "cannot accept a connection to the peer port", troubleWords[w], "from="+host, "to="+tr.Address(), "error=") == 1
		})
	}
	if n := log.count("level=WARN"); n != 2*len(peers) || log.count("certificate=", "127.0.0.1]") != 2 {
		t.Errorf("%d warnings:\n%s", n, &log)
	}
}

// greetRaw speaks TLS, or plain text, and waits for the end.
func greetRaw(t testing.TB, address string, c *tls.Config) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if c != nil {
		conn = tls.Client(conn, c)
	}
	_, _ = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	_, _ = io.Copy(io.Discard, conn)
}

func TestTLSAgainstPlainTextIsSaid(t *testing.T) {
	if !isolate(t) {
		return
	}
	secret := config(t, newAuthority(t).issue("127.0.0.1"))
	patience[troubleSilent] = 100 * time.Millisecond
	silent, alerting := serveRaw(t, overTLS(secret)), serveRaw(t, says(recordAlert, 3, 3, 0, 2, 2, 40))
	var log record
	c := testConfig(t, "127.0.0.1:0", silent, alerting)
	c.Logger = log.logger()
	_, tr := start(t, c)
	greetRaw(t, tr.Address(), secret)
	eventually(t, 5*time.Second, "all is said", func() bool {
		return log.count("level=WARN", troubleWords[troubleSilent], "peer="+silent) == 1 &&
			log.count("level=WARN", troubleWords[troubleSecret], "peer="+alerting) == 1 &&
			log.count("level=WARN", troubleWords[troubleSecret], "a connection to the peer port", "to="+tr.Address()) == 1
	})
	if tr.Stats().Refused[RefusedHandshake] != 1 {
		t.Errorf("%v", tr.Stats().Refused)
	}
}

func TestTroubleThatEndsSoonIsNotSaid(t *testing.T) {
	var w worry
	now := time.Now()
	for range 100 { // a try each, and a pause that makes it new
		now = now.Add(patienceGap)
		if w.lasts(now, time.Second) {
			t.Fatal("a moment of trouble was said")
		}
	}
	if !w.lasts(now.Add(time.Second), time.Second) {
		t.Error("trouble that lasts was not said")
	}
	if w.end(); w.lasts(now.Add(time.Second), time.Second) {
		t.Error("trouble from before a connection was said")
	}
}

// What comes and goes all the time fills no log, and what claims to be a peer hurries nobody all the time.
func TestAPeerThatComesAndGoesIsQuiet(t *testing.T) {
	var log record
	p, _ := openGate()
	p.transport.logger = log.logger()
	p.link.Store(nil)
	p.wake = make(chan struct{}, 1)
	hurried := 0
	for range 1000 {
		p.tell("connected to a peer")
		p.tell("the connection to a peer ended", slog.String("reason", strings.Repeat("x", 10)))
		p.hurry()
		select {
		case <-p.wake:
			hurried++
		default:
		}
	}
	if n := log.count(""); n != linkLines || hurried > 10 {
		t.Errorf("%d lines, hurried %d times", n, hurried)
	}
	if d := detail(errors.New(strings.Repeat("x", 1<<20))); len(d.Value.String()) > detailBytes+3 {
		t.Errorf("a detail of %d bytes", len(d.Value.String()))
	}
}
