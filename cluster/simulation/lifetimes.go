package simulation

import (
	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// lifetimes is a second account of sessions, made from the committed entries and from what state machines are given.
type lifetimes struct {
	// For each committed entry: log time in milliseconds, and the lowest serial of its session, as of it.
	time, lowest []uint64
	lowestOf     map[messages.SessionID]uint64
	// last is the index of a session's last command that a machine was given.
	last   map[messages.SessionID]uint64
	given  map[numbered]uint64
	closed map[messages.SessionID]bool
}

type numbered struct {
	session messages.SessionID
	serial  uint64
}

func newLifetimes() lifetimes {
	return lifetimes{
		lowestOf: map[messages.SessionID]uint64{}, last: map[messages.SessionID]uint64{}, given: map[numbered]uint64{},
		closed: map[messages.SessionID]bool{},
	}
}

func (l *lifetimes) commit(id entryID) {
	time, s := id.time, id.session
	if n := len(l.time); n > 0 {
		time = max(time, l.time[n-1])
	}
	l.lowestOf[s.Session] = max(l.lowestOf[s.Session], s.Lowest, 1)
	l.closed[s.Session] = l.closed[s.Session] || id.kind == messages.Entry_KIND_CLOSE_SESSION
	l.time, l.lowest = append(l.time, time), append(l.lowest, l.lowestOf[s.Session])
}

// idle is for how long a session has had no command at an index.
func (l *lifetimes) idle(s messages.SessionID, index uint64) uint64 {
	return l.time[index-1] - l.time[max(l.last[s], s.Index)-1]
}

// checkGiven checks a command that a machine is given for the first time: none of its session was that serial, it is within the window, and
// the session lived.
func (w *world) checkGiven(g int, index uint64) {
	t := &w.truth[g]
	l, s := &t.lifetimes, t.committed[index-1].session
	if s == (messages.SessionCommand{}) {
		return
	}
	of := numbered{s.Session, s.Serial}
	if before, known := l.given[of]; known {
		w.fail("a serial takes effect once", "the command at %d was at %d, too: %+v", index, before, s)
	}
	limits, known := w.options.sessionLimits()
	if lowest := l.lowest[index-1]; s.Serial < lowest || known && s.Serial-lowest >= limits.Window {
		w.fail("a serial that takes effect is within the window", "at %d: %+v, the lowest is %d", index, s, lowest)
	}
	if idle := l.idle(s.Session, index); known && idle >= uint64(limits.TTL.Milliseconds()) {
		w.fail("a session ends when it was idle for its time", "at %d: %+v was idle for %d ms", index, s, idle)
	}
	l.given[of], l.last[s.Session] = index, index
}

// checkGone checks that a session of which a client is told that it is gone was kept for as long as it must be.
func (w *world) checkGone(g int, s messages.SessionID, index uint64) {
	l := &w.truth[g].lifetimes
	limits, known := w.options.sessionLimits()
	if index == 0 || !known || l.closed[s] {
		return
	}
	if idle := l.idle(s, index); idle < uint64(limits.Keep.Milliseconds()) {
		w.fail("a session outlives its last command by what it is kept", "at %d: %v was idle for %d ms", index, s, idle)
	}
}

// overreach sends a command with a serial beyond the window, in a session of its own. It has no effect.
func (o *operation) overreach(n *node) {
	w := o.w
	limits, known := w.options.sessionLimits()
	if !known {
		return
	}
	session := actors.NewClientSession(w.rng.Uint64)
	nonce, _ := session.Opening()
	n.doors[o.group].OpenSession(nonce, w.ask(n, o.group, "the opening of a session", nil, func(a actors.Answer) {
		if a.Err != nil || w.history.quiet {
			return
		}
		w.opened(session, a.Value)
		if n = o.node(); n == nil {
			return
		}
		beyond := messages.SessionCommand{Session: session.ID(), Serial: limits.Window + 1, Lowest: 1}
		ask := w.ask(n, o.group, string(o.Input), o.Input, func(a actors.Answer) {
			if _, fate := outcomeOf(a); fate == actors.CopyAnswered {
				w.fail("a serial that takes effect is within the window", "%+v: %q %v", beyond, a.Value, a.Err)
			}
		})
		n.doors[o.group].ProposeIn(beyond, ask.given, ask)
	}))
}
