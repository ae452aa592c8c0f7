package actors

import (
	"container/list"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// sessions let every command take effect exactly once, however often it is sent (thesis 6.3). They belong to the state that is replicated:
// what they decide depends on the log alone. So there is no clock but log time, and no limits but those in the log.
//
// Entries are applied some at a time, and what a command is answered is known only after all of them were given to the state machine.
// So an entry is taken in two parts: admit says whether its command is applied, and settle keeps and finds answers. Both go through the
// entries in their order, and admit never asks for answers: how many entries are applied together makes no difference.
type sessions struct {
	// time is log time in milliseconds: the highest that was stamped on an entry.
	time uint64
	// limits are those of the last opening; nil: there was none.
	limits  *messages.SessionLimits
	byNonce map[uint64]*list.Element
	// used has all *session, the one whose last command is the oldest first.
	used    list.List
	answers keptAnswers
}

type session struct {
	id     messages.SessionID
	lowest uint64
	// applied are the serials of commands that were applied, from lowest on.
	applied serials
	// The last command that was applied, or the opening.
	lastIndex, lastTime uint64
	// answers to applied commands, by serial. Those that the client has, or that took too much memory, are gone.
	answers []*answer
	// shared: a view may read the list of answers. It is copied before it changes.
	shared bool
}

// What became of an entry in a session.
type step struct {
	index   uint64
	session *session
	serial  uint64
	lowest  uint64
	fate    fate
	err     error
	value   []byte
	limits  *messages.SessionLimits // those from this entry on
}

type fate uint8

const (
	// applies: the state machine gets it now.
	applies fate = iota
	// repeats: it was applied before.
	repeats
	// told: it has its answer, for it was no command, or one that is refused.
	told
	// ended: the session is over. That answers nobody.
	ended
)

func newSessions() *sessions { return &sessions{byNonce: map[uint64]*list.Element{}} }

// pass lets log time pass, and ends the sessions that were idle for too long.
func (t *sessions) pass(time uint64, steps []step) []step {
	if time <= t.time {
		return steps
	}
	t.time = time
	for e := t.used.Front(); e != nil && t.idle(e.Value.(*session)) >= t.limits.GetTtlMs(); e = t.used.Front() {
		steps = append(steps, t.end(e))
	}
	return steps
}

func (t *sessions) idle(s *session) uint64 { return t.time - s.lastTime }

func (t *sessions) end(e *list.Element) step {
	s := t.used.Remove(e).(*session)
	delete(t.byNonce, s.id.Nonce)
	return step{session: s, fate: ended}
}

// open opens a session, or finds the one that was opened with the same nonce.
func (t *sessions) open(index uint64, data []byte, steps []step) []step {
	var open messages.OpenSession
	if err := proto.Unmarshal(data, &open); err != nil {
		panic(fmt.Errorf("entry %d opens a session, and cannot be decoded: %w", index, err))
	}
	if open.Limits != nil {
		t.limits = open.Limits
	}
	st := step{index: index, fate: told, limits: t.limits}
	if e := t.byNonce[open.Nonce]; e != nil {
		st.value = t.opened(e.Value.(*session))
		return append(steps, st)
	}
	for uint64(t.used.Len()) >= t.limits.GetSessions() {
		oldest := t.used.Front()
		if oldest == nil || t.idle(oldest.Value.(*session)) < t.limits.GetKeepMs() {
			st.err = ErrTooManySessions
			return append(steps, st)
		}
		steps = append(steps, t.end(oldest))
	}
	s := &session{id: messages.SessionID{Index: index, Nonce: open.Nonce}, lowest: 1, lastIndex: index, lastTime: t.time}
	t.byNonce[open.Nonce] = t.used.PushBack(s)
	st.value = t.opened(s)
	return append(steps, st)
}

// opened is what a client is told of its session.
func (t *sessions) opened(s *session) []byte {
	return OpenedSession{s.id, t.limits.GetWindow()}.encoded()
}

// close ends a session. Whether it was open or not, it is over then.
func (t *sessions) close(index uint64, id messages.SessionID, steps []step) []step {
	if e := t.find(id); e != nil {
		steps = append(steps, t.end(e))
	}
	return append(steps, step{index: index, fate: told})
}

// find goes by both halves of the name: in a group that was recovered or restored, another session may have the same index.
func (t *sessions) find(id messages.SessionID) *list.Element {
	if e := t.byNonce[id.Nonce]; e != nil && e.Value.(*session).id == id {
		return e
	}
	return nil
}

// admit says whether a command is applied.
func (t *sessions) admit(index uint64, c messages.SessionCommand) step {
	e := t.find(c.Session)
	if e == nil {
		return step{index: index, fate: told, err: ErrSessionGone}
	}
	s := e.Value.(*session)
	if c.Lowest > s.lowest {
		s.lowest = c.Lowest
		s.applied.dropBelow(c.Lowest)
	}
	st := step{index: index, session: s, serial: c.Serial, lowest: s.lowest}
	switch {
	case c.Serial < s.lowest:
		st.fate, st.err = told, ErrSerialBelowLowest
	case c.Serial-s.lowest >= t.limits.GetWindow():
		st.fate, st.err = told, ErrBeyondWindow
	case s.applied.has(c.Serial):
		st.fate = repeats
	default:
		s.applied.add(c.Serial)
		s.lastIndex, s.lastTime = index, t.time
		t.used.MoveToBack(e)
	}
	return st
}

// settle ends an entry, and says what its caller is told. r is what the state machine answered, if it was asked.
func (t *sessions) settle(st *step, r Result) Result {
	if st.session != nil && st.fate != ended {
		t.forgetBelow(st.session, st.lowest)
	}
	switch st.fate {
	case applies:
		if st.session != nil {
			t.keep(st.session, st.serial, st.index, r)
		}
		return r.told()
	case repeats:
		if a := st.session.find(st.serial); a != nil {
			return a.result()
		}
		return Result{Err: ErrAnswerNotKept}
	case ended:
		t.forgetBelow(st.session, math.MaxUint64)
	}
	if st.limits != nil {
		t.answers.limit = st.limits.AnswerBytes
		t.forgetOldest()
	}
	return Result{Value: st.value, Err: st.err}
}
