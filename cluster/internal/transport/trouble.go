package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/troupe-raft/troupe/cluster/internal/hush"
)

// A trouble is why two nodes that reach each other do not talk.
type trouble uint8

const (
	troubleSilent    trouble = iota // no answer that makes sense; a node that is ending gives none
	troubleLater                    // it says "not yet"
	troubleTaken                    // it has other connections in this node's name
	troubleUnlisted                 // it refuses this node
	troubleCrowded                  // it hears too many nodes that it does not know
	troublePlain                    // it speaks plain text
	troubleSecret                   // it speaks TLS, and this node does not
	troubleAuthority                // the certificates, in words below
	troubleExpired
	troubleName
	troubleRefused
	troubleTLS
	troubles
)

var troubleWords = [troubles]string{
	troubleSilent:    "it does not answer as a node does: is it one, and do both use TLS or none?",
	troubleLater:     "it does not know this node yet: start the group there, with this node's address in its list of members",
	troubleTaken:     "it has connections in this node's name that work: only one node may have this address",
	troubleUnlisted:  "it refuses this node: check that it lists this node's address as a peer",
	troubleCrowded:   "it does not know this node yet, and hears as many such nodes as it may: its log says who they are",
	troublePlain:     "the other side speaks plain text and this node TLS: give certificates to all nodes or to none",
	troubleSecret:    "the other side speaks TLS and this node plain text: give certificates to all nodes or to none",
	troubleAuthority: "the other side's certificate is signed by no authority that this node trusts: give all nodes the same authorities",
	troubleExpired:   "the other side's certificate has expired or is not valid yet, by this machine's clock: give that node a new one",
	troubleName:      "the other side's certificate does not name the host of its address: give that node one that does",
	troubleRefused:   "the other side refuses this node's certificate: check its dates and names, and the authorities there",
	troubleTLS:       "the other side does TLS in another way than nodes do",
}

// patience is how long a trouble may last before it is logged: a node that starts or ends causes it for a while.
var patience = [troubles]time.Duration{troubleSilent: 5 * time.Second, troubleTaken: 5 * time.Second, troubleLater: 30 * time.Second,
	troubleCrowded: 5 * time.Second}

// patienceGap without trouble, and the next one is new: longer than an attempt takes.
const patienceGap = 5 * time.Second

// tlsTrouble says what an error of a TLS handshake, or of the first read after it, means.
func tlsTrouble(err error) trouble {
	var header tls.RecordHeaderError
	var invalid x509.CertificateInvalidError
	var network *net.OpError
	switch {
	case errors.As(err, &header):
		return troublePlain
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return troubleAuthority
	case errors.As(err, new(x509.HostnameError)):
		return troubleName
	case errors.As(err, &invalid):
		if invalid.Reason == x509.Expired {
			return troubleExpired
		}
		return troubleTLS
	case errors.As(err, &network) && network.Op == "remote error": // an alert
		return troubleRefused
	case errors.As(err, &network) && network.Op == "local error":
		return troubleTLS
	case network != nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return troubleSilent
	}
	return troubleTLS
}

// greetTrouble says what the refusal of a greeting means.
func greetTrouble(err error) trouble {
	switch status.Code(err) {
	case codes.PermissionDenied:
		return troubleUnlisted
	case codes.Unauthenticated:
		return troubleRefused
	case codes.AlreadyExists:
		return troubleTaken
	case codes.Unavailable:
		return troubleLater
	case codes.Aborted:
		return troubleCrowded
	}
	return troubleSilent
}

// A worry is how long a peer has been in trouble.
type worry struct {
	mu          sync.Mutex
	begun, last time.Time
}

// lasts notes trouble, and says whether it has lasted longer than that.
func (w *worry) lasts(now time.Time, longer time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.last) >= patienceGap {
		w.begun = now
	}
	w.last = now
	return now.Sub(w.begun) >= longer
}

func (w *worry) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = time.Time{}
}

// troubled notes why a peer that was reached is not connected, and warns of it.
func (p *peer) troubled(w trouble, err error, ends ...any) {
	p.fail(err)
	if !p.known() || !p.worry.lasts(time.Now(), patience[w]) || !p.quiet.Allow(troubleWords[w], 1) {
		return
	}
	p.transport.logger.Warn("cannot connect to a peer: "+troubleWords[w],
		append([]any{slog.String("peer", p.address), slog.String("address", p.transport.address), detail(err)}, ends...)...)
}

// troubled reports an inbound connection that came to nothing.
func (d *door) troubled(c *inbound, w trouble, err error) {
	t, level := d.transport, slog.LevelWarn
	if w == troubleSilent { // somebody looked whether the port is open
		level = slog.LevelDebug
	}
	if !t.quiet.Allow(troubleWords[w]+hostOf(c.RemoteAddr()), 1) {
		return
	}
	attributes := append(ends(c.RemoteAddr(), c.LocalAddr()),
		slog.Uint64("so_far", t.counters.refused[RefusedHandshake].Load()), detail(err))
	var unverified *tls.CertificateVerificationError
	if errors.As(err, &unverified) && len(unverified.UnverifiedCertificates) > 0 {
		c := unverified.UnverifiedCertificates[0]
		attributes = append(attributes, slog.String("certificate", hush.Clip(fmt.Sprint(c.Subject, c.DNSNames, c.IPAddresses))))
	}
	t.logger.Log(context.Background(), level, "cannot accept a connection to the peer port: "+troubleWords[w], attributes...)
}

// ends says who dialed whom.
func ends(from, to net.Addr) []any {
	return []any{slog.String("from", from.String()), slog.String("to", to.String())}
}

// detail is an error for the log.
func detail(err error) slog.Attr { return slog.String("error", hush.Clip(err.Error())) }
