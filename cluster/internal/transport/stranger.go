package transport

import (
	"errors"
	"maps"
	"net"
	"time"

	"google.golang.org/protobuf/proto"
)

// A stranger is no peer, and has shown that it knows the cluster: this node may lag, and not know its own leader. It is dialed as a
// peer is, so that it gets replies, until it is silent for a while. So many of them are heard, one more is refused.
const (
	mostStrangers = 32
	strangerTime  = time.Minute
	shownBytes    = 1 << 10 // what shows that a stranger knows the cluster is no longer
)

var errSilent = errors.New("it is not a peer, and has said nothing for a while")

// isPeer says whether the address is a known peer's now. A stranger is none.
func (t *Transport) isPeer(address string) bool {
	p := t.peer(address)
	if p == nil {
		return false
	}
	l := p.life.Load()
	return l != nil && !l.isStranger
}

// mayMeet says whether somebody at the address may become a stranger.
func (t *Transport) mayMeet(address string) bool {
	host, port, err := net.SplitHostPort(address)
	return t.config.Admits != nil && err == nil && host != "" && port != "" && port != "0" && address != t.address
}

// meet makes a stranger of the address, which has just shown that it knows the cluster.
func (t *Transport) meet(address string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return t.unknown(address)
	}
	p, now := t.peer(address), time.Now()
	if p == nil || !p.known() {
		if t.forgetSilent(now) >= mostStrangers {
			return refuse(RefusedStranger, "%d others that are not among the peers are being heard already", mostStrangers)
		}
		p = t.enter(address)
		p.heard.Store(now.UnixNano())
		p.begin(true)
		t.look()
	}
	p.heard.Store(now.UnixNano())
	return nil
}

// tendStrangers looks for silent ones.
func (t *Transport) tendStrangers(now time.Time) {
	for _, p := range *t.peers.Load() {
		if p.isSilent(now) {
			t.mu.Lock()
			t.forgetSilent(now)
			t.mu.Unlock()
			return
		}
	}
}

// forgetSilent ends the lives of the strangers that are silent, and returns how many are left. The caller holds mu.
func (t *Transport) forgetSilent(now time.Time) (left int) {
	all := maps.Clone(*t.peers.Load())
	for a, p := range all {
		if p.isSilent(now) {
			p.leave(errSilent)
			if !p.listed.Load() {
				delete(all, a)
			}
		} else if l := p.life.Load(); l != nil && l.isStranger {
			left++
		}
	}
	t.peers.Store(&all)
	return left
}

func (p *peer) isSilent(now time.Time) bool {
	l := p.life.Load()
	return l != nil && l.isStranger && now.Sub(time.Unix(0, p.heard.Load())) >= p.transport.config.strangerTime
}

// hears says whether a stranger's message shows that it knows the cluster. Any other is ignored, and does not keep it from being
// forgotten: a leader asks for a status, too, or mails a group that is not started here.
func (p *peer) hears(m proto.Message) bool {
	if !p.transport.config.Admits(m) {
		p.transport.counters.ignored.Add(1)
		return false
	}
	p.heard.Store(time.Now().UnixNano())
	return true
}

// introduce lets in who greeted from an address that is no peer's, if what it says first shows that it knows the cluster. It has
// its answer only then: until then it is one of those that have not greeted.
func (g *guarded) introduce() error {
	t := g.transport
	switch {
	case t.isPeer(g.address): // it became one meanwhile
	case !g.showsCluster():
		return t.unknown(g.address)
	default:
		if err := t.meet(g.address); err != nil {
			return err
		}
	}
	return g.accept()
}

// showsCluster says whether a message of a checked batch does.
func (g *guarded) showsCluster() bool {
	for _, e := range g.frame.batch.Envelopes {
		if len(e.MessageData) > shownBytes {
			continue
		}
		if m, err := g.frame.message(e); err == nil && g.transport.config.Admits(m) {
			return true
		}
	}
	return false
}

// shown is what a greeting shows besides: the empty frame, if that is nothing.
func (p *peer) shown() *letter {
	t, l := p.transport, new(letter)
	var mails []mail
	if t.config.Shows != nil {
		target, all := t.config.Shows(p.address)
		for _, message := range all {
			if m, _, ok := t.admit(target, message); ok {
				mails = append(mails, m)
			}
		}
	}
	l.write(mails)
	return l
}
