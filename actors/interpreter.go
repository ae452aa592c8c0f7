package actors

import (
	"bufio"
	"fmt"
	"io"

	"github.com/troupe-raft/troupe/messages"
)

// interpreter turns committed entries into results. It knows no actors and no callers: what it does depends on the log alone, and is
// the same on every node.
type interpreter struct {
	sm       StateMachine
	sessions *sessions
	// applied is lastApplied of Figure 2, as of the last call.
	applied uint64

	// Reused from call to call.
	commands []Entry
	steps    []step
	outcomes []outcome
}

// outcome is what an entry came to that somebody may wait for.
type outcome struct {
	index uint64
	Result
}

// apply gives the commands among the entries, from index first on, to the state machine, but for those that it must not have (again). There
// is an outcome for each entry of a client, in the order of the log. They are valid until the next call. It panics when an entry cannot be
// applied: states must not diverge.
func (i *interpreter) apply(first uint64, entries []messages.EncodedEntry) []outcome {
	if first != i.applied+1 {
		panic(fmt.Errorf("entry %d follows %d: every index is applied once, in order", first, i.applied))
	}
	i.commands, i.steps, i.outcomes = i.commands[:0], i.steps[:0], i.outcomes[:0]
	for n, encoded := range entries {
		i.interpret(first+uint64(n), encoded)
	}
	var results []Result
	if len(i.commands) > 0 {
		results = i.sm.Apply(i.commands)
	}
	if len(results) != len(i.commands) {
		panic(fmt.Errorf("the state machine gave %d results for %d commands", len(results), len(i.commands)))
	}
	i.settle(results)
	i.applied = first + uint64(len(entries)) - 1
	return i.outcomes
}

func (i *interpreter) interpret(index uint64, encoded messages.EncodedEntry) {
	entry, err := messages.DecodeEntry(encoded)
	if err != nil {
		panic(fmt.Errorf("entry %d: %w", index, err))
	}
	i.steps = i.sessions.pass(entry.Time, i.steps)
	switch entry.Kind {
	case messages.Entry_KIND_COMMAND:
		i.command(index, &entry)
	case messages.Entry_KIND_OPEN_SESSION:
		i.steps = i.sessions.open(index, entry.Data, i.steps)
	case messages.Entry_KIND_CLOSE_SESSION:
		i.steps = i.sessions.close(index, entry.Session.Session, i.steps)
	case messages.Entry_KIND_CONFIGURATION: // the server's, and somebody may wait for it
		i.steps = append(i.steps, step{index: index, fate: told})
	case messages.Entry_KIND_NOOP, messages.Entry_KIND_FOUNDING, messages.Entry_KIND_LEVEL: // the server's
	default:
		panic(fmt.Errorf("entry %d is of the unknown kind %d, and this troupe knows feature levels up to %d: start a newer troupe",
			index, entry.Kind, messages.Level))
	}
}

func (i *interpreter) command(index uint64, e *messages.EntryView) {
	fate := step{index: index}
	if e.Session != (messages.SessionCommand{}) {
		fate = i.sessions.admit(index, e.Session)
	}
	i.steps = append(i.steps, fate)
	if fate.fate == applies {
		i.commands = append(i.commands, Entry{Index: index, Command: e.Data})
	}
}

// settle gives every entry its outcome. results has those of the commands that the state machine got.
func (i *interpreter) settle(results []Result) {
	for n := range i.steps {
		st := &i.steps[n]
		var r Result
		if st.fate == applies {
			r, results = results[0], results[1:]
		}
		r = i.sessions.settle(st, r)
		if st.fate != ended {
			i.outcomes = append(i.outcomes, outcome{st.index, r})
		}
	}
}

// release forgets what the last call left, which may be large.
func (i *interpreter) release() {
	clear(i.commands)
	clear(i.steps)
	clear(i.outcomes)
}

// snapshot freezes the state.
func (i *interpreter) snapshot() (View, error) {
	view, err := i.sm.Snapshot()
	if err == nil && view == nil {
		err = fmt.Errorf("its view is nil")
	}
	if err != nil || i.sessions.empty() {
		return view, err
	}
	return &groupView{View: view, sessions: i.sessions.view()}, nil
}

// hasSessions says whether a view writes sessions first.
func hasSessions(v View) bool {
	_, has := v.(*groupView)
	return has
}

// groupView is the state machine's view, with the sessions before it.
type groupView struct {
	View
	sessions *sessionsView
}

func (v *groupView) WriteTo(w io.Writer) (int64, error) {
	n, err := v.sessions.WriteTo(w)
	if err != nil {
		return n, err
	}
	more, err := v.View.WriteTo(w)
	return n + more, err
}

// restore replaces the state by that of a snapshot. A group that begins with a backup begins without its sessions.
func (i *interpreter) restore(header *messages.SnapshotHeader, index uint64, file io.Reader) error {
	if is, was := nameOf(i.sm), header.Machine; is != was {
		return fmt.Errorf("the snapshot is of a state machine %q, and this group has a %q: start the program that wrote it", was, is)
	}
	r := bufio.NewReader(file)
	i.sessions = newSessions()
	if header.Sessions {
		restored, err := restoreSessions(r)
		if err != nil {
			return err
		}
		if index > 0 {
			i.sessions = restored
		}
	}
	whole, _ := file.(sized)
	if err := i.sm.Restore(stateReader{r, whole}); err != nil {
		return err
	}
	i.applied = index
	_, err := io.Copy(io.Discard, r) // what the state machine left unread is checked, too
	return err
}

// sized knows how many bytes it has.
type sized interface{ Size() int64 }

// stateReader is what a machine restores itself from.
type stateReader struct {
	*bufio.Reader
	file sized // nil: its size is not known
}

// Size is about how many bytes the state has; 0: that is not known.
func (r stateReader) Size() int64 {
	if r.file == nil {
		return 0
	}
	return r.file.Size()
}
