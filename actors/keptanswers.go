package actors

import (
	"bytes"
	"errors"
	"slices"
	"sort"
)

// answer is what a command in a session was answered. It is immutable but for its place in the list.
type answer struct {
	serial, index uint64
	value         []byte
	rejected      bool
	rejection     string

	session     *session
	older, next *answer
}

// answerOverhead is what an answer takes besides its own bytes.
const answerOverhead = 64

func (a *answer) bytes() uint64 { return answerOverhead + uint64(len(a.value)+len(a.rejection)) }

func (a *answer) result() Result {
	if a.rejected {
		return Result{Value: a.value, Err: &RejectedError{errors.New(a.rejection)}}
	}
	return Result{Value: a.value}
}

// told is what callers are told of a result of the state machine.
func (r Result) told() Result {
	if r.Err != nil {
		r.Err = &RejectedError{r.Err}
	}
	return r
}

// keptAnswers are those of all sessions, from the oldest on. When they have too many bytes together, the oldest go: their order is that of
// the log, whatever was applied together.
type keptAnswers struct {
	oldest, newest *answer
	bytes, limit   uint64
}

func (l *keptAnswers) push(a *answer) {
	a.older, a.next = l.newest, nil
	if l.newest == nil {
		l.oldest = a
	} else {
		l.newest.next = a
	}
	l.newest = a
	l.bytes += a.bytes()
}

func (l *keptAnswers) remove(a *answer) {
	if a.older == nil {
		l.oldest = a.next
	} else {
		a.older.next = a.next
	}
	if a.next == nil {
		l.newest = a.older
	} else {
		a.next.older = a.older
	}
	a.older, a.next = nil, nil
	l.bytes -= a.bytes()
}

// keep notes what a command was answered.
func (t *sessions) keep(s *session, serial, index uint64, r Result) {
	a := &answer{serial: serial, index: index, value: bytes.Clone(r.Value), session: s}
	if r.Err != nil {
		a.rejected, a.rejection = true, r.Err.Error()
	}
	s.insert(a)
	t.answers.push(a)
	t.forgetOldest()
}

// forgetOldest drops answers that are too many. That their commands were applied stays known.
func (t *sessions) forgetOldest() {
	for l := &t.answers; l.bytes > l.limit; {
		a := l.oldest
		l.remove(a)
		a.session.remove(a)
	}
}

// forgetBelow drops the answers that the client has.
func (t *sessions) forgetBelow(s *session, lowest uint64) {
	n := s.place(lowest)
	for _, a := range s.answers[:n] {
		t.answers.remove(a)
	}
	s.dropFirst(n)
}

// place is that of the first answer whose serial is not below one.
func (s *session) place(serial uint64) int {
	return sort.Search(len(s.answers), func(i int) bool { return s.answers[i].serial >= serial })
}

// find is the answer to a serial, or nil.
func (s *session) find(serial uint64) *answer {
	if n := s.place(serial); n < len(s.answers) && s.answers[n].serial == serial {
		return s.answers[n]
	}
	return nil
}

// own lets the list of answers change: no view reads it any more.
func (s *session) own() {
	if s.shared {
		s.answers, s.shared = slices.Clone(s.answers), false
	}
}

func (s *session) insert(a *answer) {
	s.own()
	s.answers = slices.Insert(s.answers, s.place(a.serial), a)
}

func (s *session) remove(a *answer) {
	if n := s.place(a.serial); n > 0 {
		s.own()
		s.answers = slices.Delete(s.answers, n, n+1)
		return
	}
	s.dropFirst(1)
}

func (s *session) dropFirst(n int) {
	if n == 0 {
		return
	}
	s.own()
	clear(s.answers[:n]) // they may be large
	s.answers = s.answers[n:]
}
