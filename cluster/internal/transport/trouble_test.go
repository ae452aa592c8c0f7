package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/troupe-raft/troupe/cluster/internal/testca"
	"github.com/troupe-raft/troupe/cluster/internal/testlog"
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
	ours, theirs := testca.New(t), testca.New(t)
	expired := config(t, ours.IssueFor(host, -2*time.Hour, -time.Hour))
	good, foreign := config(t, ours.Issue(host)), config(t, theirs.Issue(host))
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
		troubleName:      serveRaw(t, overTLS(config(t, ours.Issue("n9")))),
		troubleRefused:   serveRaw(t, overTLS(distrusts)),
		troublePlain:     serveRaw(t, says(emptySettings...)),
	}
	var log testlog.Log
	c := testConfig(t, host+":0")
	for _, address := range peers {
		c.Peers = append(c.Peers, address)
	}
	c.TLS, c.Logger = mustLoad(t, ours.Issue(host)), log.Logger()
	_, tr := start(t, c)
	for w, address := range peers {
		eventually(t, 5*time.Second, "the dialer says: "+troubleWords[w], func() bool {
			return log.Count("level=WARN", troubleWords[w],
				"peer="+address, "address="+tr.Address(), "from="+host, "to="+address, "error=") == 1
		})
	}
	for w, c := range map[trouble]*tls.Config{
		troubleAuthority: stranger, troubleExpired: expired, troubleTLS: nobody, troubleRefused: distrusts, troublePlain: nil,
	} {
		for range 3 {
			greetRaw(t, tr.Address(), c)
		}
		eventually(t, 5*time.Second, "the door says: "+troubleWords[w], func() bool {
			return log.Count("level=WARN", "cannot accept a connection to the peer port", troubleWords[w],
				"from="+host, "to="+tr.Address(), "error=") == 1
		})
	}
	if n := log.Count("level=WARN"); n != 2*len(peers) || log.Count("certificate=", "127.0.0.1]") != 2 {
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
	secret := config(t, testca.New(t).Issue("127.0.0.1"))
	patience[troubleSilent] = 100 * time.Millisecond
	silent, alerting := serveRaw(t, overTLS(secret)), serveRaw(t, says(recordAlert, 3, 3, 0, 2, 2, 40))
	var log testlog.Log
	c := testConfig(t, "127.0.0.1:0", silent, alerting)
	c.Logger = log.Logger()
	_, tr := start(t, c)
	greetRaw(t, tr.Address(), secret)
	eventually(t, 5*time.Second, "all is said", func() bool {
		return log.Count("level=WARN", troubleWords[troubleSilent], "peer="+silent) == 1 &&
			log.Count("level=WARN", troubleWords[troubleSecret], "peer="+alerting) == 1 &&
			log.Count("level=WARN", troubleWords[troubleSecret], "a connection to the peer port", "to="+tr.Address()) == 1
	})
	if tr.Stats().Refused[RefusedHandshake] != 1 {
		t.Errorf("%v", tr.Stats().Refused)
	}
}

// A peer that says "not yet" is no refusal, and is asked again soon; one that refuses is warned of at once.
func TestNotYetIsNoRefusal(t *testing.T) {
	if !isolate(t) {
		return
	}
	var log testlog.Log
	c := testConfig(t, "127.0.0.1:0")
	c.Logger = log.Logger()
	_, tr := start(t, c) // before any other server: it sets what all of gRPC reads
	var answer atomic.Uint32
	answer.Store(uint32(codes.Unavailable))
	tries := make(chan struct{}, 100)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	t.Cleanup(server.Stop)
	remote.RegisterRemotingServer(server, oddPeer{answer: func(remote.Remoting_ReceiveServer) error {
		select {
		case tries <- struct{}{}:
		default:
		}
		return status.Error(codes.Code(answer.Load()), "no")
	}})
	go func() { _ = server.Serve(l) }()
	tr.SetPeers([]string{l.Addr().String()})
	begun := time.Now()
	for range 8 {
		<-tries
	}
	if d := time.Since(begun); d > 3*time.Second || d < 500*time.Millisecond {
		t.Errorf("8 tries took %v", d)
	}
	if log.Count("level=WARN") != 0 {
		t.Errorf("the log says:\n%s", &log)
	}
	answer.Store(uint32(codes.PermissionDenied))
	eventually(t, 2*time.Second, "a refusal is said", func() bool {
		return log.Count("level=WARN", troubleWords[troubleUnlisted], "peer="+l.Addr().String()) == 1
	})
}

// A node that is still starting puts strangers off, and refuses them afterwards.
func TestStrangersArePutOffAndThenRefused(t *testing.T) {
	if !isolate(t) {
		return
	}
	var log testlog.Log
	var settling atomic.Bool
	settling.Store(true)
	c := testConfig(t, "127.0.0.1:0", "127.0.0.1:9")
	c.Settling, c.Logger = settling.Load, log.Logger()
	_, tr := start(t, c)
	greet := func() error {
		a := attack(t, tr.Address())
		a.send(greeting("127.0.0.1:10"))
		_, err := a.fate()
		return err
	}
	if err := greet(); status.Code(err) != codes.Unavailable || log.Count("level=WARN") != 0 {
		t.Errorf("while the node starts: %v\n%s", err, &log)
	}
	settling.Store(false)
	for range 3 {
		if err := greet(); status.Code(err) != codes.PermissionDenied {
			t.Errorf("when it has started: %v", err)
		}
	}
	if log.Count("level=WARN", "refused a stream", "127.0.0.1:10") != 1 {
		t.Errorf("the log says:\n%s", &log)
	}
	stopped := &Transport{stop: make(chan struct{})}
	close(stopped.stop)
	if r := stopped.unknown("127.0.0.1:10"); r.why != RefusedForNow {
		t.Errorf("when it stops: %v", r)
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

// A peer that comes and goes all the time does not fill the log. One that greets all the time does not hurry the dialer each time.
func TestAPeerThatComesAndGoesIsQuiet(t *testing.T) {
	var log testlog.Log
	p, _ := openGate()
	p.transport.logger = log.Logger()
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
	if n := log.Count(""); n != linkLines || hurried > 10 {
		t.Errorf("%d lines, hurried %d times", n, hurried)
	}
	if d := detail(errors.New(strings.Repeat("x", 1<<20))); len(d.Value.String()) > 310 {
		t.Errorf("a detail of %d bytes", len(d.Value.String()))
	}
}

// A peer that was told to try again, and was let in on the same connection, keeps it.
func TestWhoIsLetInLaterStays(t *testing.T) {
	if raceEnabled || !isolate(t) { // two remotes in one process
		return
	}
	a := testConfig(t, "127.0.0.1:0")
	a.Settling = func() bool { return true }
	_, here := start(t, a)
	b := testConfig(t, "127.0.0.1:0", here.Address())
	_, there := start(t, b)
	eventually(t, 5*time.Second, "it is put off", func() bool { return here.Stats().Refused[RefusedForNow] > 0 })
	here.SetPeers([]string{there.Address()})
	eventually(t, 5*time.Second, "it is let in", func() bool { return there.Connected(here.Address()) })
	for end := time.Now().Add(2 * lingerTime); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if s := there.Stats(); s.Disconnects > 0 {
			t.Fatalf("it was let in, and lost its connection: %+v", s)
		}
	}
}
