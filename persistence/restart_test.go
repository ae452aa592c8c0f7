package persistence

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What waits to be compacted is, once the store is open.
func TestCompactionsBeginAfterOpen(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, mem)
	g := mustGroup(t, s, "g")
	mustCommit(t, s, write(g, 1, 1, 10))
	mustClose(t, s)
	s = mustOpen(t, mem)
	within(t, "compaction", func() {
		for s.db.Metrics().Compact.Count == 0 {
			time.Sleep(time.Millisecond)
		}
	})
	mustClose(t, s)
}
