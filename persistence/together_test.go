package persistence

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// many groups, which together are more than Write would put into one write, and less than what Pebble syncs unasked.
const many = 14

// together are batches of them, behind three entries each.
func together() (batches []*Batch) {
	for g := range GroupID(many) {
		b := write(g+1, 5, 4, 1)
		b.Entries = append(b.Entries, entry(5, fmt.Sprintf("%07000d", g)))
		b.HardState.ClusterID = 88
		batches = append(batches, b)
	}
	return batches
}

// What is written together is there for all groups or for none, when it is killed, or its machine loses power, at whatever call. When the
// call has returned, all of it is there.
func TestWhatIsWrittenTogetherIsThereOrNot(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s := mustOpen(t, disk)
	for g := range GroupID(many) {
		mustWrite(t, s, write(mustGroup(t, s, fmt.Sprint("g", g)), 3, 1, 3))
	}
	mustClose(t, s)
	before, after := 0, 0
	for at, whole := int32(1), false; !whole; at++ {
		left := disk.CrashClone(vfs.CrashCloneCfg{})
		acknowledged, ended := killedTogether(t, left, at)
		whole = ended
		for _, unsynced := range []int{100, 0} { // killed is 100
			s := mustOpen(t, left.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: newRand(1)}))
			written := 0
			for g := range GroupID(many) {
				switch r := mustRecover(t, s, g+1); {
				case r.Last == 5 && r.HardState == HardState{Term: 5, ClusterID: 88}:
					written++
				case r.Last != 3 || r.HardState != HardState{Term: 3}:
					t.Fatalf("killed at call %d: %+v", at, r)
				}
			}
			if written != 0 && written != many || acknowledged && written == 0 {
				t.Fatalf("killed at call %d, with %d %% of what was not synced: %d of %d groups are written", at, unsynced, written, many)
			}
			if written == 0 {
				before++
			} else {
				after++
			}
			mustClose(t, s)
		}
	}
	if before == 0 || after <= 2 {
		t.Errorf("it was killed %d times before all was written, and %d times afterwards", before, after)
	}
}

// killedTogether opens a store, writes and closes it, and is killed at a call, unless it has ended before.
func killedTogether(t *testing.T, disk *vfs.MemFS, at int32) (acknowledged, ended bool) {
	var written atomic.Bool
	parking, killed := killedAt(t, disk, at)
	done := make(chan error, 1)
	go func() {
		s, err := Open(dataDir, Options{FS: parking, AnyNode: true, MemTableSize: 256 << 10})
		if err == nil {
			err = s.WriteTogether(together())
		}
		if err == nil {
			written.Store(true)
			err = s.Close()
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
		return true, true
	case <-killed.Done():
		return written.Load(), false
	}
}

func TestWhatIsWrittenTogetherFollowsTheLogs(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	group := mustGroup(t, s, "g")
	mustWrite(t, s, write(group, 3, 1, 3))
	err := s.WriteTogether([]*Batch{write(group, 4, 3, 1)})
	wantError(t, err, ErrFailed, "it takes the place of entries, up to 3")
	s = mustOpen(t, vfs.NewMem())
	if err := s.WriteTogether(nil); err != nil {
		t.Error(err)
	}
	mustClose(t, s)
	wantError(t, s.WriteTogether([]*Batch{write(group, 4, 4, 1)}), ErrClosed, "")
}
