package transport

import (
	"crypto"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster/internal/testca"
)

// A slowSigner is a key that takes long, and counts who uses it at a time.
type slowSigner struct {
	crypto.Signer
	running, most atomic.Int32
}

func (s *slowSigner) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	n := s.running.Add(1)
	defer s.running.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	time.Sleep(2 * time.Millisecond)
	return s.Signer.Sign(random, digest, o)
}

// However many handshakes there are, half of the processors compute for them. A handshake that waits for the network keeps no turn.
func TestHandshakesTakeTurns(t *testing.T) {
	if !isolate(t) {
		return
	}
	files := testca.New(t).Issue("127.0.0.1")
	c := testConfig(t, "127.0.0.1:0")
	client := config(t, files)
	signer := &slowSigner{Signer: client.Certificates[0].PrivateKey.(crypto.Signer)}
	c.TLS = mustLoad(t, files)
	c.TLS.files.Content().Certificates[0].PrivateKey = signer // nobody else has it yet
	_, tr := start(t, c)

	turns := cap(tr.door.turns)
	if turns > max(1, runtime.GOMAXPROCS(0)/2) {
		t.Errorf("%d turns", turns)
	}
	for range 2 * turns {
		silent, err := net.Dial("tcp", tr.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		_, _ = silent.Write([]byte{recordHandshake, 3, 1}) // the beginning of a hello
	}
	eventually(t, time.Second, "they are open", func() bool { return tr.Stats().UnprovenConns == 2*turns })
	dial := func() error {
		conn, err := tls.Dial("tcp", tr.Address(), client)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	if err := dial(); err != nil {
		t.Errorf("behind others that say nothing: %v", err)
	}
	if n := tr.Stats().UnprovenConns; n < 2*turns {
		t.Error("served only when the others were closed")
	}
	clients := 40
	if raceEnabled {
		clients = 10
	}
	var all sync.WaitGroup
	for range clients {
		all.Go(func() { _ = dial() }) // a slow machine may not serve them all in time
	}
	all.Wait()
	if n := int(signer.most.Load()); n > turns || n == 0 {
		t.Errorf("%d handshakes at a time, want at most %d", n, turns)
	}
}
