package persistence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// formatVersion is the newest Pebble format with checksummed tables and write-ahead log sync chunks but without value
// separation. Raising it makes a directory unreadable for older binaries.
const formatVersion = pebble.FormatTableFormatV6

// memTableSize is between 12 and 20 MiB. Replicas are written alike: with equal memtables all would flush at the same moment, every
// time, and no majority would be quick then.
func memTableSize(nodeID string) int {
	digest := sha256.Sum256([]byte(nodeID))
	return 12<<20 + int(digest[0])<<15
}

// pebbleOptions are chosen for a log: large values that are written once, read rarely and deleted in ranges.
func (s *Store) pebbleOptions(fs vfs.FS) *pebble.Options {
	log := pebbleLog{s.log, s.fence}
	o := &pebble.Options{
		FS:                          fs,
		FormatMajorVersion:          formatVersion,
		Logger:                      log,
		CacheSize:                   4 << 20,
		MemTableSize:                uint64(s.memTable),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       4,
		// A flush or compaction that cannot read its input is retried for ever while writes stall.
		EventListener: &pebble.EventListener{DataCorruption: s.corrupt, BackgroundError: func(err error) {
			if errors.Is(err, pebble.ErrCancelledCompaction) { // an excise cancels a flush that overlaps it; Pebble begins it again
				return
			}
			s.fence.fail(sayOf(ErrFailed, err,
				"the disk failed (background work), nothing more is stored: see to the disk, then start the node again"))
		}},
	}
	// No table holds records and log entries both. The blocks of a log come in order, so that tables of them alone do not overlap and
	// are moved down the tree instead of being written again.
	o.Experimental.SpanPolicyFunc = pebble.MakeStaticSpanPolicyFunc(bytes.Compare,
		pebble.KeyRange{Start: []byte{regionLogs}, End: []byte{regionLogs + 1}}, pebble.SpanPolicy{})
	for level := range o.TargetFileSizes {
		o.TargetFileSizes[level] = 2 * int64(s.memTable) // a flush makes one table: several would be merged
	}
	o.Experimental.CompactionScheduler = s.compactions
	o.Experimental.FileCacheShards = 1
	o.Experimental.ReadSamplingMultiplier = -1
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	return o
}

// pebbleLog hands Pebble's log to slog.
type pebbleLog struct {
	log   *slog.Logger
	fence *fence
}

func (l pebbleLog) write(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, fmt.Sprintf(format, args...), "from", "pebble")
	}
}

func (l pebbleLog) Infof(format string, args ...any)  { l.write(slog.LevelDebug, format, args) }
func (l pebbleLog) Errorf(format string, args ...any) { l.write(slog.LevelWarn, format, args) }

// Fatalf must not return: Pebble would go on as if nothing had happened.
func (l pebbleLog) Fatalf(format string, args ...any) {
	l.fence.fail(say(ErrFailed,
		"the database gave up, nothing more is stored: see to the disk, then start the node again: "+format, args...))
	park()
}
