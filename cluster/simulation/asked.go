package simulation

import (
	"bytes"
	"fmt"
	"time"

	"github.com/troupe-raft/troupe/actors"
)

// asked is one thing that somebody asked a node for; it is the caller at the door.
type asked struct {
	w           *world
	n           *node
	group       int
	incarnation int
	number      int
	what        string
	called      time.Duration
	// given is the caller's memory. When it is answered, the caller may overwrite it.
	given []byte
	took  func(actors.Answer)
}

// ask asks a node that is up. took gets the answer, unless the node crashes first.
func (w *world) ask(n *node, group int, what string, given []byte, took func(actors.Answer)) *asked {
	a := &asked{
		w: w, n: n, group: group, incarnation: n.incarnation, number: w.history.asked, what: what, called: w.now,
		given: bytes.Clone(given), took: took,
	}
	w.history.asked++
	w.history.unanswered[a] = true
	return a
}

// Answer is called by the actors.
func (a *asked) Answer(answer actors.Answer) {
	a.answered()
	overwrite(a.given)
	a.took(answer)
}

func (a *asked) answered() {
	if !a.w.history.unanswered[a] {
		a.w.fail("a caller is answered once", "%v is answered again", a)
	}
	delete(a.w.history.unanswered, a)
}

func (a *asked) String() string {
	return fmt.Sprintf("%q, which %s was asked at %v", a.what, a.n.id, a.called)
}

// owed returns the first caller who has no answer yet, or nil.
func (h *history) owed(by func(*asked) bool) *asked {
	var first *asked
	for a := range h.unanswered {
		if by(a) && (first == nil || a.number < first.number) {
			first = a
		}
	}
	return first
}

// forgotten names a caller whom a running server has not answered.
func (h *history) forgotten() string {
	if a := h.owed(func(a *asked) bool { return a.n.incarnation == a.incarnation && a.n.up }); a != nil {
		return a.String()
	}
	if r := h.unansweredRequest(); r != nil {
		return "a request for a snapshot of " + r.n.id
	}
	if c := h.unansweredChange(); c != nil {
		return "a request for other members at " + c.n.id
	}
	return ""
}
