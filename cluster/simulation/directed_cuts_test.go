package simulation

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// L-06, L-08 Late messages name entries that were cut, and the beginning of the log. They change nothing.
func TestL06LateMessagesBelowTheCut(t *testing.T) {
	s := newSnapshots(t, 3)
	c := s.nodes[2]
	s.crash(c, true)
	s.restart(c) // its leader probes from the beginning on
	late := s.copies(func(p packet) bool { return appendEntries(p) && p.to == c })
	s.elect(s.nodes[1])
	for i := range 30 {
		s.put(fmt.Sprintf("put k %d", i))
	}
	s.settled()
	late.end()
	if s.status(c).FirstIndex < 5 {
		t.Fatal("its log was not cut")
	}
	log := s.log(c)
	for _, p := range late.kept {
		s.deliver(p)
		s.pass(time.Millisecond)
	}
	s.forge(s.nodes[1], c, &messages.AppendEntries{Header: s.header(s.nodes[1], c, s.status(c).Term), LeaderCommit: 1})
	s.pass(time.Second)
	if s.log(c) != log {
		t.Fatalf("%s, before it was %s", s.log(c), log)
	}
}

// L-13 Snapshots of impossible places and sizes are refused.
func TestL13SnapshotsOfImpossibleSizes(t *testing.T) {
	s := newSnapshots(t, 3)
	a, c := s.nodes[0], s.nodes[2]
	const most = 1<<64 - 1
	term := s.status(c).Term
	for _, m := range []*messages.InstallSnapshot{
		{LastIncludedIndex: most, LastIncludedTerm: term, Bytes: 100, Digest: []byte("d"), Data: []byte("x")},
		{LastIncludedIndex: 50, LastIncludedTerm: most, Bytes: 100, Digest: []byte("d"), Data: []byte("x")},
		{LastIncludedIndex: 50, LastIncludedTerm: term, Bytes: most, Digest: []byte("d"), Data: []byte("x")},
		{LastIncludedIndex: 50, LastIncludedTerm: term, Bytes: 100, Offset: most, Digest: []byte("d"), Data: []byte("x")},
		{LastIncludedIndex: 50, LastIncludedTerm: term, Bytes: 100, Offset: 100, Digest: []byte("d"), Data: []byte("x")},
		{LastIncludedIndex: 50, LastIncludedTerm: term, Bytes: 1, Digest: nil, Data: []byte("x")}, // no such file
		{LastIncludedIndex: 50, LastIncludedTerm: term},
		{LastIncludedIndex: 0, LastIncludedTerm: term, Bytes: 1, Data: []byte("x")},
	} {
		m.Header = s.header(a, c, term)
		s.forge(a, c, m)
		s.pass(50 * time.Millisecond)
	}
	s.put("put k 1")
	s.settled()
	if s.w.installs > 0 || s.status(c).SnapshotIndex > 50 {
		t.Fatal("one was installed")
	}
}

// R-11 A lone server restores its snapshot before it answers, also what is stale.
func TestR11ALoneServerRestoresBeforeItAnswers(t *testing.T) {
	s := newSnapshots(t, 1)
	a := s.nodes[0]
	for i := range 40 {
		s.put(fmt.Sprintf("put k%d v%d", i%4, i))
	}
	s.until("there is a snapshot", func() bool { return a.disk.groups[0].snapshot != nil })
	s.crash(a, true)
	s.restart(a)
	early := &caller{s: s, what: "a stale read"}
	a.doors[0].QueryStale([]byte("k3"), early)
	s.until("it leads", func() bool { return s.leads(a) && s.status(a).Ready })
	if got := s.done(s.query(a, "k3")); got != "v39" {
		t.Fatalf("it reads %q", got)
	}
	if s.answer(early); early.got.Err == nil && len(early.got.Value) == 0 {
		t.Fatal("a stale read found an empty state")
	}
}

// X-07 Callers wait at a deposed leader whose log a snapshot replaces. They are told that the outcome is unknown.
func TestX07CallersWhoseLogASnapshotReplaces(t *testing.T) {
	s := newSnapshots(t, 3)
	a, b := s.nodes[0], s.nodes[1]
	s.isolate(a)
	waiting := s.propose(a, "put lost 1")
	s.until("it is on the disk", func() bool { return a.disk.groups[0].log.last() >= 2 })
	s.elect(b)
	s.fill(a)
	s.heal()
	if got := s.answer(waiting); !errors.Is(got.Err, actors.ErrOutcomeUnknown) {
		t.Fatalf("it is told %v", got.Err)
	}
	s.caughtUp(a)
}
