package actors

import (
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-raft/troupe/messages"
)

// keeper keeps the indexes of what it applied.
type keeper struct {
	register
	indexes []uint64
}

func (k *keeper) Apply(entries []Entry) []Result {
	for _, e := range entries {
		k.indexes = append(k.indexes, e.Index)
	}
	return make([]Result, len(entries))
}

// Commands become results; what is the server's own moves the index; what is unknown stops the group.
func TestWhatEntriesComeTo(t *testing.T) {
	entry := func(kind messages.Entry_Kind) messages.EncodedEntry {
		return messages.EncodeEntry(1, kind, []byte("x"))
	}
	k := &keeper{}
	i := interpreter{sm: k, sessions: newSessions()}
	outcomes := i.apply(1, []messages.EncodedEntry{
		entry(messages.Entry_KIND_FOUNDING), entry(messages.Entry_KIND_COMMAND), entry(messages.Entry_KIND_NOOP),
		entry(messages.Entry_KIND_LEVEL), entry(messages.Entry_KIND_COMMAND),
	})
	if i.applied != 5 || len(outcomes) != 2 || fmt.Sprint(k.indexes) != "[2 5]" {
		t.Errorf("applied up to %d: %v, %v", i.applied, outcomes, k.indexes)
	}
	outcomes = i.apply(6, []messages.EncodedEntry{entry(messages.Entry_KIND_NOOP)})
	if i.applied != 6 || len(outcomes) > 0 {
		t.Errorf("applied up to %d: %v", i.applied, outcomes)
	}
	for what, c := range map[string]struct {
		first uint64
		entry messages.EncodedEntry
		says  string
	}{
		"an unknown kind": {7, entry(99), "entry 7 is of the unknown kind 99, and this troupe knows feature levels up to 4"},
		"a gap":           {8, entry(messages.Entry_KIND_COMMAND), "entry 8 follows 6"},
		"no entry":        {7, []byte{0xff}, "entry 7: "},
	} {
		func() {
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, c.says) || i.applied != 6 {
					t.Errorf("%s: %s; applied up to %d", what, said, i.applied)
				}
			}()
			i.apply(c.first, []messages.EncodedEntry{c.entry})
		}()
	}
}
