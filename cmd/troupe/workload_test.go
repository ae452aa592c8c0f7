//go:build unix

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster/client"
)

// workload writes numbers that rise to keys, each key from one goroutine, and reads them from others. It fails the test when a
// read or an acknowledgement shows a version lower than one that was known before it began.
type workload struct {
	t       *testing.T
	client  *client.Client
	keys    []*watchedKey
	cancel  context.CancelFunc
	running sync.WaitGroup
	start   time.Time

	acknowledged, unknown, refused, reads, wrong atomic.Int64
	// newest is when that acknowledged write began which began last, in nanoseconds since start.
	newest atomic.Int64
}

type watchedKey struct {
	name         string
	tried, acked uint64        // numbers; the writer's, until it has ended
	floor        atomic.Uint64 // no operation that begins now may see a lower version
}

// tryTime bounds one write, so that one that hangs in a stopped process does not keep its writer from the next leader.
const tryTime = 200 * time.Millisecond

func startWorkload(t *testing.T, c *processes, writers, readers int) *workload {
	ctx, cancel := context.WithCancel(context.Background())
	w := &workload{t: t, client: c.client(), cancel: cancel, start: time.Now()}
	for i := range writers {
		w.keys = append(w.keys, &watchedKey{name: fmt.Sprintf("key-%d", i)})
	}
	for _, k := range w.keys {
		w.running.Go(func() {
			for ctx.Err() == nil {
				w.write(k)
			}
		})
	}
	for range readers {
		w.running.Go(func() {
			for ctx.Err() == nil {
				w.read(w.keys[rand.N(len(w.keys))])
				time.Sleep(time.Millisecond)
			}
		})
	}
	t.Cleanup(w.stop)
	return w
}

func (w *workload) write(k *watchedKey) {
	ctx, cancel := context.WithTimeout(context.Background(), tryTime)
	defer cancel()
	k.tried++
	floor, began := k.floor.Load(), time.Since(w.start)
	version, err := w.client.Put(ctx, k.name, binary.BigEndian.AppendUint64(nil, k.tried))
	switch {
	case err == nil:
		k.acked = k.tried
		w.saw(k, floor+1, version, "a write was acknowledged")
		w.acknowledged.Add(1)
		raise(&w.newest, int64(began))
	case isUnknown(err):
		w.unknown.Add(1)
	default:
		w.refused.Add(1)
	}
}

func (w *workload) read(k *watchedKey) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	floor := k.floor.Load()
	_, version, _, err := w.client.Get(ctx, k.name)
	if err != nil {
		return
	}
	w.reads.Add(1)
	w.saw(k, floor, version, "a read answered")
}

func (w *workload) saw(k *watchedKey, lowest, version uint64, how string) {
	if version < lowest && w.wrong.Add(1) <= 5 { // of many the first tell most
		w.t.Errorf("%s went back: %s with version %d, but %d was known before", k.name, how, version, lowest)
	}
	for old := k.floor.Load(); version > old && !k.floor.CompareAndSwap(old, version); old = k.floor.Load() {
	}
}

func raise(v *atomic.Int64, to int64) {
	for old := v.Load(); to > old && !v.CompareAndSwap(old, to); old = v.Load() {
	}
}

// accepts waits until a write was acknowledged that began after the call.
func (w *workload) accepts() {
	w.t.Helper()
	now := int64(time.Since(w.start))
	eventually(w.t, 30*time.Second, "a new write is accepted", func() bool { return w.newest.Load() > now })
}

// more waits until that many more writes are acknowledged.
func (w *workload) more(count int64) {
	w.t.Helper()
	goal := w.acknowledged.Load() + count
	eventually(w.t, 60*time.Second, "more writes are acknowledged", func() bool { return w.acknowledged.Load() >= goal })
}

func (w *workload) stop() {
	w.cancel()
	w.running.Wait()
}

// check stops the workload and reads every key: what was acknowledged is there, or something newer that was sent.
func (w *workload) check() {
	w.t.Helper()
	w.stop()
	if w.acknowledged.Load() == 0 || w.reads.Load() == 0 {
		w.t.Error("the workload did nothing")
	}
	for _, k := range w.keys {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		value, version, found, err := w.client.Get(ctx, k.name)
		cancel()
		switch {
		case err != nil:
			w.t.Errorf("%s cannot be read: %v", k.name, err)
			continue
		case !found || len(value) != 8:
			w.t.Errorf("%s has no value, but write %d of it was acknowledged", k.name, k.acked)
			continue
		}
		number := binary.BigEndian.Uint64(value)
		if number < k.acked || number > k.tried {
			w.t.Errorf("%s has write %d, but write %d was acknowledged, and %d were sent", k.name, number, k.acked, k.tried)
		}
		w.saw(k, k.floor.Load(), version, "the last read answered")
	}
	w.t.Logf("%d writes acknowledged, %d with unknown outcome, %d refused, %d reads",
		w.acknowledged.Load(), w.unknown.Load(), w.refused.Load(), w.reads.Load())
}
