package actors

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/troupe-raft/troupe/messages"
)

func openedClient(window uint64) (*ClientSession, *uint64) {
	nonces := new(uint64)
	s := NewClientSession(func() uint64 { *nonces++; return *nonces })
	s.Opened(OpenedSession{messages.SessionID{Index: 10, Nonce: 1}, window})
	return s, nonces
}

func mustSend(t *testing.T, s *ClientSession, c *ClientCommand) messages.SessionCommand {
	t.Helper()
	copy, ok := s.Send(c)
	if !ok {
		t.Fatal("the command has to wait")
	}
	return copy
}

func TestAClientOpensWithOneNonceUntilItIsAnswered(t *testing.T) {
	nonce := uint64(0)
	s := NewClientSession(func() uint64 { nonce++; return nonce })
	var c ClientCommand
	for range 2 {
		if n, needed := s.Opening(); n != 1 || !needed {
			t.Fatalf("nonce %d, %v", n, needed)
		}
	}
	if _, ok := s.Send(&c); ok {
		t.Fatal("a command was sent without a session")
	}
	s.Opened(OpenedSession{messages.SessionID{Index: 4, Nonce: 9}, 10})
	if _, needed := s.Opening(); !needed {
		t.Fatal("another's session was taken")
	}
	first := OpenedSession{messages.SessionID{Index: 5, Nonce: 1}, 10}
	s.Opened(first)
	s.Opened(OpenedSession{messages.SessionID{Index: 6, Nonce: 1}, 10}) // a copy of the opening, much later
	if got := mustSend(t, s, &c); got != (messages.SessionCommand{Session: first.ID, Serial: 1, Lowest: 1}) {
		t.Fatalf("sent as %v", got)
	}
	s.Settle(&c, CopyHomeless)
	if n, needed := s.Opening(); n != 2 || !needed {
		t.Fatalf("after the session: nonce %d, %v", n, needed)
	}
	s.Opened(first)
	if _, needed := s.Opening(); !needed {
		t.Fatal("the old session came back")
	}
}

func TestSerialsAreGivenWithinTheWindow(t *testing.T) {
	s, _ := openedClient(3)
	var c [5]ClientCommand
	for i := range 3 {
		if got := mustSend(t, s, &c[i]); got.Serial != uint64(i+1) || got.Lowest != 1 {
			t.Fatalf("command %d: %v", i, got)
		}
	}
	s.Settle(&c[1], CopyAnswered)
	if _, ok := s.Send(&c[3]); ok {
		t.Fatal("a command was sent beyond the window")
	}
	if got := mustSend(t, s, &c[2]); got.Serial != 3 {
		t.Errorf("a copy has the serial %d", got.Serial)
	}
	if !s.GiveUp(&c[0]) {
		t.Error("a copy may be around")
	}
	for i, serial := range map[int]uint64{2: 3, 3: 4, 4: 5} { // what was given up holds nobody back
		if got := mustSend(t, s, &c[i]); got.Lowest != 3 || i == 2 && got.Serial != serial {
			t.Errorf("command %d: %v", i, got)
		}
	}
}

func TestWhatBecameOfACommand(t *testing.T) {
	for name, test := range map[string]struct {
		before []CopyFate // of earlier copies
		last   CopyFate
		want   CommandFate
		gaveUp bool // unknown, if it is given up then
	}{
		"answered":                    {nil, CopyAnswered, CommandAnswered, false},
		"answered, after a loss":      {[]CopyFate{CopyLost}, CopyAnswered, CommandAnswered, false},
		"refused":                     {nil, CopyRefused, CommandUnanswered, false},
		"lost":                        {nil, CopyLost, CommandUnanswered, true},
		"refused, after a loss":       {[]CopyFate{CopyLost}, CopyRefused, CommandUnanswered, true},
		"no session":                  {nil, CopyHomeless, CommandUnanswered, false},
		"no session, after a refusal": {[]CopyFate{CopyRefused}, CopyHomeless, CommandUnanswered, false},
		"no session, after a loss":    {[]CopyFate{CopyLost, CopyRefused}, CopyHomeless, CommandUnknown, true},
		"refused again":               {[]CopyFate{CopyRefused, CopyRefused}, CopyRefused, CommandUnanswered, false},
	} {
		s, _ := openedClient(3)
		var c ClientCommand
		for _, fate := range test.before {
			mustSend(t, s, &c)
			s.Settle(&c, fate)
		}
		if copy := mustSend(t, s, &c); copy.Serial != 1 {
			t.Errorf("%s: the serial became %d", name, copy.Serial)
		}
		if got := s.Settle(&c, test.last); got != test.want {
			t.Errorf("%s: %v, not %v", name, got, test.want)
		}
		if test.want == CommandUnanswered {
			if unknown := s.GiveUp(&c); unknown != test.gaveUp {
				t.Errorf("%s, given up: unknown %v", name, unknown)
			}
		}
		if test.want != CommandUnanswered && s.Settle(&c, CopyAnswered) != CommandOver {
			t.Errorf("%s: it was not over", name)
		}
	}
}

func TestACommandThatOnlyMissedItsSessionIsSentInTheNext(t *testing.T) {
	s, _ := openedClient(8)
	var refused, lost, missed ClientCommand
	for _, c := range []*ClientCommand{&refused, &lost, &missed} {
		mustSend(t, s, c)
	}
	s.Settle(&refused, CopyRefused)
	s.Settle(&lost, CopyLost)
	s.Settle(&missed, CopyHomeless)
	if _, ok := s.Send(&missed); ok {
		t.Fatal("sent without a session")
	}
	old := mustSend(t, s, &lost) // to the old session: no other can tell
	next := messages.SessionID{Index: 20, Nonce: 2}
	s.Opened(OpenedSession{next, 8})
	if old.Session.Index != 10 || old.Serial != 2 || s.Settle(&lost, CopyHomeless) != CommandUnknown {
		t.Errorf("what was lost was sent as %v", old)
	}
	for i, c := range []*ClientCommand{&missed, &refused} {
		if got := mustSend(t, s, c); got != (messages.SessionCommand{Session: next, Serial: uint64(i + 1), Lowest: 1}) {
			t.Errorf("sent as %v", got)
		}
	}
	if s.ID() != next {
		t.Error("the next session ended with the old one")
	}
}

// counted is a state machine that counts how often each command takes effect.
type counted struct {
	adder
	times map[string]int
}

func (c *counted) Apply(entries []Entry) []Result {
	for _, e := range entries {
		c.times[string(e.Command)]++
	}
	return c.adder.Apply(entries)
}

// voyage is a client's command, a copy of it under way, or what came back.
type voyage struct {
	ClientCommand
	name string
	// doubts are copies of which the client was not told that they had no effect.
	doubts int
}

type copyUnderWay struct {
	of    *voyage
	place messages.SessionCommand
	// unheard: nobody waits for the answer any more.
	unheard bool
}

// sea is a client and the server side of its sessions. Copies arrive late, in any order, or never; answers get lost; sessions end.
type sea struct {
	*tale
	rng     *rand.Rand
	seed    uint64
	session *ClientSession
	machine *counted
	limits  SessionLimits
	waiting []*voyage
	copies  []copyUnderWay
	nonces  []uint64
	names   int
	seen    map[CommandFate]int
}

func newSea(t *testing.T, seed uint64, seen map[CommandFate]int) *sea {
	rng := rand.New(rand.NewPCG(seed, 3))
	m := &counted{times: map[string]int{}}
	limits := testLimits
	limits.Window, limits.AnswerBytes = 1+rng.Uint64N(6), rng.Uint64N(400)
	return &sea{
		tale: &tale{t: t, interpreter: interpreter{sm: m, sessions: newSessions()}},
		rng:  rng, seed: seed, session: NewClientSession(rng.Uint64), machine: m, limits: limits, seen: seen,
	}
}

func (s *sea) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("seed %d: %s", s.seed, fmt.Sprintf(format, args...))
}

func (s *sea) step() {
	if s.rng.IntN(40) == 0 {
		s.time = s.sessions.time + s.rng.Uint64N(40_000) // which may end sessions
	}
	switch k := s.rng.IntN(12); {
	case k == 0 && len(s.waiting) < 10:
		s.names++
		s.waiting = append(s.waiting, &voyage{name: fmt.Sprint("command ", s.names)})
	case k == 1:
		if nonce, needed := s.session.Opening(); needed {
			s.nonces = append(s.nonces, nonce)
		}
	case k == 2 && len(s.nonces) > 0:
		s.open(s.nonces[s.rng.IntN(len(s.nonces))])
	case k == 3 && s.rng.IntN(4) == 0:
		_ = s.entry(openEntry(1<<40+s.rng.Uint64N(3), s.limits)) // others' sessions
	case k == 4 && len(s.waiting) > 0 && s.rng.IntN(3) == 0:
		v := s.waiting[s.rng.IntN(len(s.waiting))]
		if unknown := s.session.GiveUp(&v.ClientCommand); unknown != (v.doubts > 0) {
			s.fail("%s is given up, unknown %v, with %d copies around", v.name, unknown, v.doubts)
		}
		s.drop(v)
	case k < 8 && len(s.waiting) > 0:
		v := s.waiting[s.rng.IntN(len(s.waiting))]
		if place, ok := s.session.Send(&v.ClientCommand); ok {
			v.doubts++
			s.copies = append(s.copies, copyUnderWay{of: v, place: place})
		}
	case len(s.copies) > 0:
		s.arrive(s.rng.IntN(len(s.copies)))
	}
}

func (s *sea) open(nonce uint64) {
	r := s.entry(openEntry(nonce, s.limits))
	if r.Err == nil && s.rng.IntN(3) > 0 {
		o, _ := DecodeOpenedSession(r.Value)
		s.session.Opened(o)
	}
}

// arrive lets a copy come to a member.
func (s *sea) arrive(i int) {
	c := s.copies[i]
	switch k := s.rng.IntN(8); {
	case k == 0 && !c.unheard: // refused by a member: it is not in the log
		s.forget(i)
		c.of.doubts--
		s.settle(c.of, FateOfCopy(ErrNotLeader), Result{})
		return
	case k == 1 && !c.unheard: // it stays under way, and nobody listens any more
		s.copies[i].unheard = true
		s.settle(c.of, FateOfCopy(ErrOutcomeUnknown), Result{})
		return
	case k == 2:
		s.forget(i) // it is lost, or its leader was
		if !c.unheard {
			s.settle(c.of, CopyLost, Result{})
		}
		return
	}
	s.forget(i)
	r := s.entry(messages.EntryView{Kind: messages.Entry_KIND_COMMAND, Data: []byte(c.of.name), Session: c.place})
	switch {
	case c.unheard:
	case s.rng.IntN(5) == 0: // the answer is lost
		s.settle(c.of, CopyLost, Result{})
	default:
		fate := FateOfCopy(r.Err)
		if fate == CopyHomeless || fate == CopyRefused {
			c.of.doubts--
		}
		s.settle(c.of, fate, r)
	}
}

func (s *sea) settle(v *voyage, fate CopyFate, r Result) {
	was := v.over
	got := s.session.Settle(&v.ClientCommand, fate)
	s.seen[got]++
	switch {
	case was != (got == CommandOver):
		s.fail("%s came to %v", v.name, got)
	case got == CommandAnswered:
		if n := s.machine.times[v.name]; n != 1 || r.Err != nil && !errors.Is(r.Err, ErrAnswerNotKept) {
			s.fail("%s took effect %d times, and is answered %q, %v", v.name, n, r.Value, r.Err)
		}
		s.drop(v)
	case got == CommandUnknown:
		if v.doubts == 0 {
			s.fail("%s is said to be unknown, and no copy of it can have an effect", v.name)
		}
		s.drop(v)
	}
}

func (s *sea) forget(i int) { s.copies = append(s.copies[:i], s.copies[i+1:]...) }

func (s *sea) drop(v *voyage) {
	for i, w := range s.waiting {
		if w == v {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			return
		}
	}
}

// However copies and answers are lost, late and in disorder, a command takes effect once, and its outcome is unknown only if it is.
func TestCommandsOfAClientTakeEffectOnce(t *testing.T) {
	seen := map[CommandFate]int{}
	for seed := range uint64(400) {
		s := newSea(t, seed, seen)
		var undone []*voyage
		for range 600 {
			before := append([]*voyage(nil), s.waiting...)
			s.step()
			for _, v := range before {
				if v.over && v.doubts == 0 {
					undone = append(undone, v)
				}
			}
		}
		for len(s.copies) > 0 { // whatever is still around arrives
			s.copies[0].unheard = true
			s.arrive(0)
		}
		for name, n := range s.machine.times {
			if n != 1 {
				s.fail("%s took effect %d times", name, n)
			}
		}
		for _, v := range undone {
			if s.machine.times[v.name] != 0 {
				s.fail("%s took effect, and the client was told that it does not", v.name)
			}
		}
	}
	for fate := CommandAnswered; fate <= CommandOver; fate++ {
		if seen[fate] < 100 {
			t.Errorf("the fate %v was met %d times only", fate, seen[fate])
		}
	}
}
