package bench

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
)

// slowDisk is the machine's file system with syncs that take so much longer until ctx is done, so that an interrupted start
// or end is not slow; nil when they do not.
func slowDisk(ctx context.Context, longer time.Duration) vfs.FS {
	if longer == 0 {
		return nil
	}
	return errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			_ = wait.For(ctx, longer)
		}
		return nil
	}))
}
