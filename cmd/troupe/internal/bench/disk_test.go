package bench

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

// A disk that was made slow must not keep an interrupted bench from its end.
func TestSlowDiskEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	fs := slowDisk(ctx, time.Hour)
	f, err := fs.Create(filepath.Join(t.TempDir(), "f"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	synced := make(chan error, 1)
	go func() { synced <- f.Sync() }()
	cancel()
	select {
	case err := <-synced:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the sync goes on")
	}
}
