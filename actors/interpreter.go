package actors

import (
	"fmt"

	"github.com/troupe-raft/troupe/messages"
)

// interpreter turns committed entries into results. It knows no actors and no callers: what it does depends on the log alone, and is
// the same on every node.
type interpreter struct {
	sm StateMachine
	// applied is lastApplied of Figure 2, as of the last call.
	applied uint64

	commands []Entry // reused from call to call
}

// apply gives the commands among the entries, from index first on, to the state machine. There is a result for each command, in the
// order of the log. Both lists are valid until the next call. It panics when an entry cannot be applied: states must not diverge.
func (i *interpreter) apply(first uint64, entries []messages.EncodedEntry) ([]Entry, []Result) {
	if first != i.applied+1 {
		panic(fmt.Errorf("entry %d follows %d: every index is applied once, in order", first, i.applied))
	}
	i.commands = i.commands[:0]
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
	i.applied = first + uint64(len(entries)) - 1
	return i.commands, results
}

func (i *interpreter) interpret(index uint64, encoded messages.EncodedEntry) {
	entry, err := messages.DecodeEntry(encoded)
	if err != nil {
		panic(fmt.Errorf("entry %d: %w", index, err))
	}
	switch entry.Kind {
	case messages.Entry_KIND_COMMAND:
		i.commands = append(i.commands, Entry{Index: index, Command: entry.Data})
	case messages.Entry_KIND_NOOP, messages.Entry_KIND_FOUNDING, messages.Entry_KIND_LEVEL: // the server's
	default:
		panic(fmt.Errorf("entry %d is of the unknown kind %d, and this troupe knows feature levels up to %d: start a newer troupe",
			index, entry.Kind, messages.Level))
	}
}
