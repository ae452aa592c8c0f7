package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/host"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/load"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
)

// RecoverValueSize is that of Recover, unless there is a reason for another.
const RecoverValueSize = 16

const (
	maxEntries     = 1_000_000_000 // more than a disk of today holds
	recoverWriters = 2048
	// recordBytes is more than an entry needs on disk besides its value, for the check of free space: the log files are kept
	// beside the tables that are made of them.
	recordBytes = 150
)

// Recover writes values to one group, stops its nodes, starts them again, and measures that start.
type Recover struct {
	Local     Local
	Entries   int
	ValueSize int // bytes
}

// Check implements Mode.
func (r Recover) Check() error {
	if r.Entries < 1 || r.Entries > maxEntries {
		return fmt.Errorf("--recover takes 1 to %d entries", maxEntries)
	}
	return cmp.Or(r.Local.Check(), Workload{Op: Put, ValueSize: r.ValueSize}.Check())
}

// Run implements Mode.
func (r Recover) Run(ctx context.Context, out Output) error {
	dir, remove, err := host.MakeDataDir(r.Local.Dir, "bench")
	if err != nil {
		return err
	}
	defer remove()
	if err := checkSpace(dir, uint64(r.Entries)*uint64(r.Local.Nodes)*uint64(r.ValueSize+recordBytes)); err != nil {
		return err
	}
	cluster, err := r.Local.start(ctx, dir, nil)
	if err != nil {
		return err
	}
	defer closeLocal(cluster)
	line := &recoverJSON{Nodes: r.Local.Nodes, ValueSize: r.ValueSize}
	out.say("writing %d entries of %d bytes to %d nodes", r.Entries, r.ValueSize, r.Local.Nodes)
	if err := line.write(ctx, cluster, r.Entries, r.ValueSize); err != nil {
		return err
	}
	closeLocal(cluster)
	line.DiskBytes = bytesBelow(dir)
	line.DiskPerEntry = float64(line.DiskBytes) / float64(line.Entries) / float64(r.Local.Nodes)
	debug.FreeOSMemory() // what writing took is no part of the start
	load.ResetPeak()
	out.say("starting again")
	if err := line.start(ctx, cluster); err != nil {
		return err
	}
	return out.print(line)
}

// recoverJSON is how long it took.
type recoverJSON struct {
	Entries   uint64 `json:"entries"`
	Nodes     int    `json:"nodes"`
	ValueSize int    `json:"value_size"`

	WriteS       float64 `json:"write_s"`
	WritesPerS   float64 `json:"writes_per_second"`
	DiskBytes    uint64  `json:"disk_bytes"`      // of all nodes
	DiskPerEntry float64 `json:"bytes_per_entry"` // of one node

	// Since the start after the writes: until the groups' starts returned, until one led, until all had applied everything.
	OpenS        float64 `json:"open_s"`
	LedS         float64 `json:"led_s"`
	AppliedS     float64 `json:"applied_s"`
	EntriesPerS  float64 `json:"entries_per_second"`
	PeakResident uint64  `json:"peak_resident_bytes"` // during the start
}

func checkSpace(dir string, need uint64) error {
	if free := load.FreeDisk(dir); free > 0 && need > free {
		return fmt.Errorf("--recover may need %.1f GiB below %s, where %.1f GiB are free: name another disk with --dir, or write fewer "+
			"entries", gibibytes(need), dir, gibibytes(free))
	}
	return nil
}

// write puts count values, with as many writers as the group admits easily, and waits until every node has them.
func (l *recoverJSON) write(ctx context.Context, cluster *host.Local, count, size int) error {
	limited, cancel := context.WithTimeout(ctx, leaderTime(1))
	defer cancel()
	if _, _, err := cluster.AwaitLeader(limited); err != nil {
		return err
	}
	to := &localTarget{cluster: cluster}
	to.find()
	// Values differ, so that the store cannot compress them away.
	random := randomValue(rand.New(rand.NewPCG(1, 7)), size+1<<16)
	begin := time.Now()
	var next atomic.Int64
	var writers sync.WaitGroup
	var failed atomic.Pointer[error]
	for range min(recoverWriters, count) {
		writers.Go(func() {
			for i := next.Add(1); i <= int64(count) && failed.Load() == nil; i = next.Add(1) {
				value := random[i*7919%(1<<16):][:size]
				if err := insist(ctx, func() error { return to.put(ctx, names[i%keyCount], value) }); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	writers.Wait()
	if err := failed.Load(); err != nil {
		return fmt.Errorf("cannot write the entries: %w", *err)
	}
	l.WriteS = time.Since(begin).Seconds()
	l.WritesPerS = float64(count) / l.WriteS
	l.Entries = to.found.Load().node.Group.Status().LastIndex
	_, err := awaitApplied(ctx, cluster, l.Entries)
	return err
}

// insist repeats a write that an election interrupts; a second entry for the same key does no harm here.
func insist(ctx context.Context, do func() error) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		err := do()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		again := errors.Is(err, actors.ErrNotLeader) || errors.Is(err, actors.ErrOutcomeUnknown) || errors.Is(err, actors.ErrOverloaded)
		if !again || time.Now().After(end) {
			return err
		}
	}
}

// start measures the nodes' second start.
func (l *recoverJSON) start(ctx context.Context, cluster *host.Local) error {
	begin := time.Now()
	if err := cluster.StartAll(ctx); err != nil {
		return err
	}
	l.OpenS = time.Since(begin).Seconds()
	led, err := awaitApplied(ctx, cluster, l.Entries)
	if err != nil {
		return err
	}
	l.AppliedS = time.Since(begin).Seconds()
	l.LedS = led.Sub(begin).Seconds()
	l.EntriesPerS = float64(l.Entries) / l.AppliedS
	l.PeakResident = load.PeakResident()
	return nil
}

// awaitApplied waits until a node leads and every node has applied the entry with that index; it tells since when one led.
func awaitApplied(ctx context.Context, cluster *host.Local, index uint64) (led time.Time, err error) {
	limit := time.Minute + time.Duration(index)*100*time.Microsecond
	for end := time.Now().Add(limit); ; {
		if n, _ := cluster.Leader(); n != nil && led.IsZero() {
			led = time.Now()
		}
		behind := ""
		for i := range cluster.Size() {
			if s := cluster.Node(i).Group.Status(); s.AppliedIndex < index {
				behind = fmt.Sprintf("%s has applied %d of %d entries", cluster.Node(i).ID(), s.AppliedIndex, index)
			}
		}
		switch {
		case behind == "" && !led.IsZero():
			return led, nil
		case time.Now().After(end):
			return led, fmt.Errorf("the nodes are not ready after %v: %s", limit, behind)
		}
		if err := wait.For(ctx, time.Millisecond); err != nil {
			return led, err
		}
	}
}

func bytesBelow(dir string) (sum uint64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				sum += uint64(info.Size())
			}
		}
		return nil
	})
	return sum
}

func (l *recoverJSON) sentences() string {
	return fmt.Sprintf(`wrote %d entries of %d bytes to %d nodes in %.1f s: %.0f/s; %.1f MiB on disk, %.0f bytes per entry and node
started again: open after %.2f s, led after %.2f s, all applied after %.2f s: %.0f entries/s; at most %.0f MiB resident
`, l.Entries, l.ValueSize, l.Nodes, l.WriteS, l.WritesPerS, mebibytes(l.DiskBytes), l.DiskPerEntry,
		l.OpenS, l.LedS, l.AppliedS, l.EntriesPerS, mebibytes(l.PeakResident))
}
