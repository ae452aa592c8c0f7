package actors

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// taking is what a server does so that its log stays short: it takes snapshots (section 7), and cuts what they have.
type taking struct {
	phase takingPhase
	// view is the state machine's, as of index, while it is written.
	view  View
	index uint64
	// callers want a snapshot.
	callers []wanting
	// shrink: the node's logs are too long; only so many bytes are to be kept, below 0: not asked.
	keep int64

	failures int
	retry    time.Time
	err      error // why the last one failed
	told     int64 // how long the log was when the archive was told
	hasCut   bool  // since then
}

type takingPhase uint8

const (
	// resting: no snapshot is taken.
	resting takingPhase = iota
	// queued: the archive takes one snapshot at a time, and others may come first.
	queued
	// freezing: the machine is asked for a view.
	freezing
	// beingWritten: the archive writes the view.
	beingWritten
)

// wanting is a caller who wants a snapshot that has all up to an index.
type wanting struct {
	caller SnapshotCaller
	index  uint64
}

// SnapshotCaller waits for a snapshot. Snapshot is called exactly once, from any goroutine, and must not block.
type SnapshotCaller interface {
	Snapshot(*messages.Snapshot, error)
}

// Mail between a server, its machine and the archive.
type (
	// freeze asks the machine for a view of its state; frozen answers.
	freeze struct{}
	frozen struct {
		index   uint64
		machine string
		view    View
		err     error
	}
	// thaw closes a view.
	thaw struct{ view View }
	// restore lets the machine load a snapshot; restored answers.
	restore  struct{ snapshot *messages.Snapshot }
	restored struct{ index, time uint64 }

	// wantSnapshot: a caller at the door wants one.
	wantSnapshot struct{}
)

// keepLogShort is called after every message.
func (s *server) keepLogShort() {
	t := &s.taking
	if size := s.log.sizes.total(); t.hasCut || max(size-t.told, t.told-size) > max(s.log.sizes.granule, t.told/64) {
		s.ctx.Send(s.c.Archive, &logSize{s.ctx.Self(), size, t.hasCut})
		t.told, t.hasCut = size, false
	}
	s.answerWanting()
	if t.phase == resting && s.snapshotDue() {
		t.phase = queued
		s.ctx.Send(s.c.Archive, &takeTurn{s.ctx.Self()})
	}
}

// snapshotDue says whether enough was applied since the last snapshot, or somebody wants one.
func (s *server) snapshotDue() bool {
	last := s.snapshot.GetLastIncludedIndex()
	if s.restoring != nil || s.lastApplied <= last {
		return false
	}
	if slices.ContainsFunc(s.taking.callers, func(w wanting) bool { return w.index <= s.lastApplied }) {
		return true
	}
	after := s.c.Limits.snapshotAfter(s.snapshot.GetBytes())
	long := s.log.sizes.total() >= after && s.log.sizes.between(last, s.lastApplied) >= after
	return (long || s.taking.keep >= 0) && s.cuts() && !s.c.Clock.Now().Before(s.taking.retry)
}

// cuts says whether the log may be cut: every member must know how to install a snapshot.
func (s *server) cuts() bool { return s.charter().level >= messages.LevelSnapshots }

// turn: the archive is free for this server.
func (s *server) turn() {
	if !s.snapshotDue() {
		s.passTurn()
		return
	}
	s.taking.phase = freezing
	s.ctx.Send(s.machine, &freeze{})
}

func (s *server) passTurn() {
	s.taking.phase = resting
	s.ctx.Send(s.c.Archive, &turnOver{s.ctx.Self()})
}

// frozen: the machine's state at an index is there to be written.
func (s *server) frozen(m *frozen) {
	if m.err == nil && (s.restoring != nil || m.index <= s.snapshot.GetLastIncludedIndex()) {
		s.ctx.Send(s.machine, &thaw{m.view})
		s.passTurn()
		return // a snapshot was installed meanwhile
	}
	if m.err != nil {
		s.passTurn()
		s.snapshotFailed(fmt.Errorf("the state machine gives none: %w", m.err))
		return
	}
	s.taking.phase, s.taking.view, s.taking.index = beingWritten, m.view, m.index
	header := &messages.SnapshotHeader{
		Group: s.group, LastIncludedIndex: m.index, LastIncludedTerm: s.log.term(m.index),
		Charter: s.charters.at(m.index).encoded(), Machine: m.machine, Sessions: hasSessions(m.view),
	}
	s.ctx.Send(s.c.Archive, &record{s.ctx.Self(), s.c.Number, header, m.view, s.c.Limits.pieceBytes()})
}

// recorded: the archive is done with the view. The snapshot counts when it is newer than the one that there is.
func (s *server) recorded(m *recorded) {
	t := &s.taking
	s.ctx.Send(s.machine, &thaw{t.view})
	t.phase, t.view = resting, nil
	switch {
	case s.restoring != nil || t.index <= s.snapshot.GetLastIncludedIndex(): // another one was installed meanwhile
		s.holdRetire()
	case m.err != nil:
		s.snapshotFailed(m.err)
	default:
		t.failures, t.err = 0, nil
		s.shorten(m.snapshot)
		s.holdRetire()
	}
}

// shorten makes a snapshot the newest, and cuts the log that it has, but for what followers may need.
func (s *server) shorten(snapshot *messages.Snapshot) {
	t := &s.taking
	keep := s.c.Limits.logKeep(snapshot.Bytes)
	if t.keep >= 0 {
		keep = min(keep, t.keep)
	}
	to := uint64(0)
	if s.cuts() {
		to = min(snapshot.LastIncludedIndex, s.log.sizes.before(keep))
	}
	if t.keep < 0 {
		to = min(to, s.role.needed(s))
	}
	t.keep = -1
	if to > s.log.compacted {
		t.hasCut = true
		s.c.Logger.Info("cuts the log", "snapshot", snapshot.LastIncludedIndex, "to", to, "bytes", s.log.sizes.between(s.log.compacted, to))
	}
	s.cut(snapshot, to)
}

// shrink: the node's logs together are too long, and this one is among the longest. What the snapshot has is cut at once; when that is not
// enough, another one is taken.
func (s *server) shrink(keep int64) {
	s.taking.keep = keep
	if s.snapshot.GetLastIncludedIndex() > 0 && s.restoring == nil {
		s.shorten(s.snapshot)
	}
	if s.lastApplied > s.snapshot.GetLastIncludedIndex() && s.log.sizes.total() > 2*keep {
		s.taking.keep = keep
	}
}

const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// snapshotFailed: the group goes on, its log grows on, and another snapshot is tried later.
func (s *server) snapshotFailed(err error) {
	t := &s.taking
	wait := min(firstRetry<<min(t.failures, 10), lastRetry)
	t.failures++
	t.err = fmt.Errorf("no snapshot could be taken: %w", err)
	t.retry = s.c.Clock.Now().Add(wait)
	s.c.Logger.Warn("a snapshot failed, and is tried again", "err", err, "failures", t.failures, "after", wait)
	s.refuseWanting(t.err)
}

// wantSnapshot takes callers. They want all that the machine may have applied by now.
func (s *server) wantSnapshot() {
	index := s.lastApplied
	if s.handed != nil {
		index = s.handed.last
	}
	for _, caller := range s.door.takeSnapshots() {
		if index == 0 {
			caller.Snapshot(nil, errNothingApplied)
			continue
		}
		s.taking.callers = append(s.taking.callers, wanting{caller, index})
	}
}

var errNothingApplied = errors.New("nothing is applied yet on this node, so there is nothing to take a snapshot of: try again")

// answerWanting answers those whom the newest snapshot satisfies.
func (s *server) answerWanting() {
	t := &s.taking
	t.callers = slices.DeleteFunc(t.callers, func(w wanting) bool {
		if s.restoring != nil || w.index > s.snapshot.GetLastIncludedIndex() {
			return false
		}
		w.caller.Snapshot(s.snapshot, nil)
		return true
	})
}

func (s *server) refuseWanting(err error) {
	for _, w := range s.taking.callers {
		w.caller.Snapshot(nil, err)
	}
	s.taking.callers = nil
}

// endTaking gives up what the archive does for this server.
func (s *server) endTaking(err error) {
	if s.taking.phase != resting {
		s.passTurn()
	}
	s.refuseWanting(err)
}

// aboutSnapshots handles mail about them, and says whether it was any.
func (s *server) aboutSnapshots(m any) bool {
	switch m := m.(type) {
	case *yourTurn:
		s.turn()
	case *frozen:
		s.frozen(m)
	case *recorded:
		s.recorded(m)
	case *shrink:
		s.shrink(m.keep)
	case wantSnapshot:
		s.wantSnapshot()
	case *received:
		s.received(m)
	case *receptionFailed:
		s.receptionFailed(m)
	case *restored:
		s.restored(m.index, m.time)
	default:
		return false
	}
	return true
}
