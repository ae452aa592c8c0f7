package demo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
)

const (
	keysPerWriter = 4
	// writeTime is short, so that a client whose leader is gone asks the next one soon.
	writeTime = time.Second
)

// writers write numbers that rise, each to keys of its own, and remember what was acknowledged.
type writers struct {
	client  *client.Client
	ledgers [][keysPerWriter]ledger // one writer's are its own until it has ended
	stopped atomic.Bool
	running sync.WaitGroup

	acknowledged, unknown atomic.Int64
	rated                 int64 // acknowledged when rate was last asked for

	last     atomic.Int64 // when a write was last acknowledged, in nanoseconds since start
	watching atomic.Bool
	gap      atomic.Int64 // longest time without an acknowledgement while watching
	after    atomic.Int64 // acknowledgements while watching
	start    time.Time
}

// ledger is what one writer knows of one of its keys.
type ledger struct {
	key          string
	tried, acked uint64 // numbers written
	version      uint64
	regress      string // says how, when it did
}

// startWriters writes until stop, or until ctx is done.
func startWriters(ctx context.Context, c *client.Client, count int) *writers {
	w := &writers{client: c, ledgers: make([][keysPerWriter]ledger, count), start: time.Now()}
	for i := range w.ledgers {
		for k := range w.ledgers[i] {
			w.ledgers[i][k].key = fmt.Sprintf("writer-%d/key-%d", i, k)
		}
		w.running.Go(func() {
			for n := 0; ctx.Err() == nil && !w.stopped.Load(); n++ {
				w.write(ctx, &w.ledgers[i][n%keysPerWriter])
			}
		})
	}
	return w
}

func (w *writers) write(ctx context.Context, l *ledger) {
	limited, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	l.tried++
	version, err := w.client.Put(limited, l.key, valueOf(l.tried))
	switch {
	case err == nil:
		w.acknowledge()
		if version <= l.version {
			l.regress = fmt.Sprintf("version %d of %s was followed by version %d", l.version, l.key, version)
		}
		l.acked, l.version = l.tried, version
	case errors.Is(err, client.ErrOutcomeUnknown):
		w.unknown.Add(1)
	}
}

// valueOf is a number and some weight.
func valueOf(n uint64) []byte {
	const weight = 100
	return append(strconv.AppendUint(make([]byte, 0, 20+weight), n, 10), strings.Repeat(".", weight)...)
}

func numberIn(value []byte) uint64 {
	digits, _, _ := strings.Cut(string(value), ".")
	n, _ := strconv.ParseUint(digits, 10, 64) // 0, which nobody writes, when it is no number
	return n
}

func (w *writers) acknowledge() {
	w.acknowledged.Add(1)
	now := int64(time.Since(w.start))
	before := w.last.Swap(now)
	if !w.watching.Load() {
		return
	}
	for old := w.gap.Load(); now-before > old && !w.gap.CompareAndSwap(old, now-before); old = w.gap.Load() {
	}
	w.after.Add(1)
}

// watchGap begins to measure how long no write is acknowledged.
func (w *writers) watchGap() {
	w.gap.Store(0)
	w.watching.Store(true)
}

// gapOver waits for acknowledgements under the new leader and returns the longest time without one.
func (w *writers) gapOver(ctx context.Context) (time.Duration, error) {
	seen, end := w.after.Load(), time.Now().Add(patience)
	for w.after.Load() == seen {
		if time.Now().After(end) {
			return 0, fmt.Errorf("no write is acknowledged within %v", patience)
		}
		if err := wait.For(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
	w.watching.Store(false)
	return time.Duration(w.gap.Load()), nil
}

// rate is acknowledgements per second since the last call, which was that long ago. Only one goroutine may call it.
func (w *writers) rate(elapsed time.Duration) int64 {
	now := w.acknowledged.Load()
	done := now - w.rated
	w.rated = now
	return int64(float64(done) / elapsed.Seconds())
}

// stop ends the writers and waits for what is under way: its outcome would be unknown for no reason.
func (w *writers) stop() {
	w.stopped.Store(true)
	w.running.Wait()
}

func (w *writers) totals() (acknowledged, unknown int64) {
	return w.acknowledged.Load(), w.unknown.Load()
}

func (w *writers) keys() int { return len(w.ledgers) * keysPerWriter }

// check reads every key, after stop. What was acknowledged must be there, or something that was written after it.
func (w *writers) check(ctx context.Context, c *client.Client) error {
	if w.acknowledged.Load() == 0 {
		return errors.New("no write was acknowledged")
	}
	errs := make([]error, len(w.ledgers))
	var all sync.WaitGroup
	for i := range w.ledgers {
		all.Go(func() {
			for k := range w.ledgers[i] {
				if errs[i] == nil {
					errs[i] = w.ledgers[i][k].check(ctx, c)
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) check(ctx context.Context, c *client.Client) error {
	value, version, found, err := c.Get(ctx, l.key)
	if err != nil {
		return fmt.Errorf("cannot read %s to check it: %w", l.key, err)
	}
	return l.compare(found, numberIn(value), version)
}

// compare says how what was read contradicts what was acknowledged.
func (l *ledger) compare(found bool, number, version uint64) error {
	switch {
	case l.regress != "":
		return errors.New(l.regress)
	case !found && l.acked > 0:
		return fmt.Errorf("%s is gone: write %d of it was acknowledged", l.key, l.acked)
	case number < l.acked:
		return fmt.Errorf("%s lost its write %d, which was acknowledged: it has write %d", l.key, l.acked, number)
	case number > l.tried:
		return fmt.Errorf("%s has write %d, but only %d were sent", l.key, number, l.tried)
	case version < l.version:
		return fmt.Errorf("%s went back from version %d to %d", l.key, l.version, version)
	}
	return nil
}
