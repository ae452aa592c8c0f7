package clientport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"

	"github.com/troupe-raft/troupe/cluster/internal/hush"
	"github.com/troupe-raft/troupe/cluster/internal/tlsfiles"
)

// secured is a listener whose connections have done their TLS handshake. They have their place, here or in the lobby, before it.
type secured struct {
	net.Listener
	files *tlsfiles.Files
	turns chan struct{} // to compute for a handshake: half of the processors, so that heartbeats go first
	log   *slog.Logger
	quiet hush.Hush

	ready    chan net.Conn
	failures chan error
	closed   chan struct{}
	close    sync.Once
}

// newSecured begins to accept connections from inner, which makes a [conn] of each.
func newSecured(inner net.Listener, files *tlsfiles.Files, log *slog.Logger) *secured {
	s := &secured{
		Listener: inner, files: files, log: log, turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		ready: make(chan net.Conn), failures: make(chan error), closed: make(chan struct{}),
	}
	go s.run()
	return s
}

// run hands on what cannot be accepted, too: the server waits before it asks again.
func (s *secured) run() {
	for {
		accepted, err := s.Listener.Accept()
		if err == nil {
			go s.secure(accepted.(*conn))
			continue
		}
		select {
		case s.failures <- err:
		case <-s.closed:
			return
		}
	}
}

func (s *secured) Accept() (net.Conn, error) {
	select {
	case c := <-s.ready:
		return c, nil
	case err := <-s.failures:
		return nil, err
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *secured) Close() error {
	s.close.Do(func() { close(s.closed) })
	return s.Listener.Close()
}

// secure does the handshake of a connection and hands it on.
func (s *secured) secure(c *conn) {
	raw := &handshake{conn: c, turns: s.turns}
	secure, err := raw.run(serverConfig(s.files.Content()))
	if err != nil {
		s.refused(c, err)
		raw.linger()
		_ = c.Close()
		return
	}
	select {
	case s.ready <- secure:
	case <-s.closed:
		_ = c.Close()
	}
}

func serverConfig(content *tlsfiles.Content) *tls.Config {
	config := &tls.Config{
		Certificates: content.Certificates, NextProtos: []string{"h2", "http/1.1"},
		SessionTicketsDisabled: true, // every connection is judged by what the files hold now
	}
	if content.Authorities != nil {
		config.ClientCAs, config.ClientAuth = content.Authorities, tls.RequireAndVerifyClientCert
	}
	return config
}

// refused logs why a handshake failed, once a minute for each host. Whoever only looks whether the port is open is not worth a warning.
func (s *secured) refused(c *conn, err error) {
	host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
	level := slog.LevelWarn
	var network net.Error
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &network) && !isAlert(err) {
		level = slog.LevelDebug
	}
	if !s.quiet.Allow(level.String()+host, 1) {
		return
	}
	s.log.Log(context.Background(), level, "a client is refused: its TLS handshake failed",
		"from", c.RemoteAddr().String(), "err", hush.Clip(err.Error()))
}

// isAlert says that the other side said what displeases it.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
