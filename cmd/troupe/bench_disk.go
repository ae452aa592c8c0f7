package main

import (
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// slowDisk is the machine's file system with syncs that take so much longer; nil when they do not.
func slowDisk(longer time.Duration) vfs.FS {
	if longer == 0 {
		return nil
	}
	return errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			time.Sleep(longer)
		}
		return nil
	}))
}
