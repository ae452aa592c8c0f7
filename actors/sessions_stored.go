package actors

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// sessionsView is what the sessions were at one moment. It copies little: answers are shared.
type sessionsView struct {
	time     uint64
	limits   *messages.SessionLimits
	sessions []session
}

// view is asked for in the machine's turn.
func (t *sessions) view() *sessionsView {
	v := &sessionsView{time: t.time, limits: t.limits, sessions: make([]session, 0, t.used.Len())}
	words := 0
	for e := t.used.Front(); e != nil; e = e.Next() {
		words += len(e.Value.(*session).applied.words)
	}
	array := make([]uint64, 0, words)
	for e := t.used.Front(); e != nil; e = e.Next() {
		e.Value.(*session).shared = true
		s := *e.Value.(*session)
		start := len(array)
		array = append(array, s.applied.words...)
		s.applied.words = array[start:len(array):len(array)]
		v.sessions = append(v.sessions, s)
	}
	return v
}

// empty says that there is nothing to store: no session was ever opened.
func (t *sessions) empty() bool { return t.limits == nil && t.time == 0 }

// WriteTo writes what SessionsOf and restoreSessions read.
func (v *sessionsView) WriteTo(w io.Writer) (int64, error) {
	c := &delimited{w: w}
	c.write(&messages.Sessions{Time: v.time, Limits: v.limits, Count: uint64(len(v.sessions))})
	for i := range v.sessions {
		s := &v.sessions[i]
		c.write(&messages.StoredSession{
			Index: s.id.Index, Nonce: s.id.Nonce, Lowest: s.lowest, LastIndex: s.lastIndex, LastTime: s.lastTime,
			Applied: s.applied.words, Answers: uint64(len(s.answers)),
		})
		for _, a := range s.answers {
			c.write(&messages.StoredAnswer{
				Serial: a.serial, Index: a.index, Value: a.value, Rejected: a.rejected, Rejection: []byte(a.rejection),
			})
		}
	}
	return c.n, c.err
}

// delimited writes messages until one fails.
type delimited struct {
	w   io.Writer
	n   int64
	err error
}

func (d *delimited) write(m proto.Message) {
	if d.err == nil {
		var n int
		n, d.err = protodelim.MarshalTo(d.w, m)
		d.n += int64(n)
	}
}

var errBadSessions = errors.New("the sessions in the snapshot are damaged, take another one")

// restoreSessions reads what a view wrote.
func restoreSessions(r *bufio.Reader) (*sessions, error) {
	t := newSessions()
	var head messages.Sessions
	if err := readDelimited(r, &head, 1<<16); err != nil {
		return nil, err
	}
	t.time, t.limits, t.answers.limit = head.Time, head.Limits, head.Limits.GetAnswerBytes()
	var all []*answer
	for range head.Count {
		s, err := readSession(r, &all, t.answers.limit)
		if err != nil {
			return nil, err
		}
		if t.byNonce[s.id.Nonce] != nil {
			return nil, fmt.Errorf("%w: the nonce %d is there twice", errBadSessions, s.id.Nonce)
		}
		t.byNonce[s.id.Nonce] = t.used.PushBack(s)
	}
	slices.SortFunc(all, func(a, b *answer) int { return cmp.Compare(a.index, b.index) })
	for _, a := range all {
		t.answers.push(a)
	}
	return t, nil
}

// StateOf reads the state machine's own bytes out of a snapshot's: behind the sessions, if it has any.
func StateOf(header *messages.SnapshotHeader, snapshot io.Reader) (io.Reader, error) {
	r := bufio.NewReader(snapshot)
	if !header.Sessions {
		return r, nil
	}
	_, err := restoreSessions(r)
	return r, err
}

func readSession(r *bufio.Reader, all *[]*answer, limit uint64) (*session, error) {
	var stored messages.StoredSession
	if err := readDelimited(r, &stored, 1<<20); err != nil {
		return nil, err
	}
	s := &session{
		id:     messages.SessionID{Index: stored.Index, Nonce: stored.Nonce},
		lowest: stored.Lowest, lastIndex: stored.LastIndex, lastTime: stored.LastTime,
		applied: serials{first: stored.Lowest - stored.Lowest%64, words: stored.Applied},
	}
	for range stored.Answers {
		var m messages.StoredAnswer
		if err := readDelimited(r, &m, limit+1024); err != nil {
			return nil, err
		}
		if n := len(s.answers); n > 0 && s.answers[n-1].serial >= m.Serial {
			return nil, fmt.Errorf("%w: the answers of a session are out of order", errBadSessions)
		}
		a := &answer{
			serial: m.Serial, index: m.Index, value: m.Value, rejected: m.Rejected, rejection: string(m.Rejection), session: s,
		}
		s.answers = append(s.answers, a)
		*all = append(*all, a)
	}
	return s, nil
}

func readDelimited(r *bufio.Reader, m proto.Message, limit uint64) error {
	err := protodelim.UnmarshalOptions{MaxSize: int64(min(limit, math.MaxInt32))}.UnmarshalFrom(r, m)
	if err != nil {
		return fmt.Errorf("%w (%w)", errBadSessions, err)
	}
	return nil
}
