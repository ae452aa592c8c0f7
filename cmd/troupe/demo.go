package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/host"
)

func demoCommand() *command {
	return &command{
		name:    "demo",
		summary: "Show a three-node cluster that loses its leader and nothing else.",
		text: `
Starts three nodes in this process, with real sockets and every write synced to disk, and lets clients write all the time. In
the middle the leader is stopped; later it is started again from its directory. At the end every key is read: the exit code is 1
if a write that was acknowledged is missing. The data is removed, unless something is wrong.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			duration := seconds(15 * time.Second)
			flags.Var(&duration, "for", "`time` to write for, at least 3s")
			dir := flags.String("dir", "", "`directory` on a real disk for the data (default the user's cache directory)")
			writers := flags.Int("writers", 64, "`number` of clients that write")
			return func(ctx context.Context, t *terminal, _ []string) error {
				if time.Duration(duration) < 3*time.Second {
					return usagef("--for must be at least 3s: the leader is stopped and started again meanwhile")
				}
				if *writers < 1 || *writers > 10000 {
					return usagef("--writers takes 1 to 10000")
				}
				return runDemo(ctx, t, time.Duration(duration), *dir, *writers)
			}
		},
	}
}

// Parts of the time at which the leader is stopped and started again.
const (
	demoStop    = 0.35
	demoRestart = 0.65
)

// demo is one run.
type demo struct {
	screen  *screen
	cluster *host.Local
	writers *writers
}

func runDemo(ctx context.Context, t *terminal, length time.Duration, parent string, count int) error {
	dir, remove, err := host.MakeDataDir(parent, "demo")
	if err != nil {
		return err
	}
	err = demoIn(ctx, t, length, dir, count)
	var lost *lostError
	if errors.As(err, &lost) {
		return fmt.Errorf("%w; the data and the log are in %s", err, dir)
	}
	remove()
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

func demoIn(ctx context.Context, t *terminal, length time.Duration, dir string, count int) (err error) {
	logFile, err := os.Create(filepath.Join(dir, "demo.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	d := &demo{screen: newScreen(t)}
	d.screen.say("three nodes in this process, %d clients, data in %s", count, dir)
	if d.cluster, err = host.StartLocal(ctx, 3, dir, slog.New(slog.NewTextHandler(logFile, nil))); err != nil {
		return err
	}
	defer func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		_ = d.cluster.Close(limited) // what matters was checked before
	}()
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	first, _, err := d.cluster.AwaitLeader(limited)
	if err != nil {
		return err
	}
	d.screen.say("%s leads", first.ID())
	c := client.New(d.cluster.ClientAddresses())
	defer c.Close()
	d.writers = startWriters(ctx, c, count)
	defer d.writers.stop()
	stopProgress := d.screen.progress(d.line)
	defer stopProgress()

	failover, err := d.play(ctx, length)
	if err != nil {
		return err
	}
	d.writers.stop()
	stopProgress()
	return d.finish(ctx, c, length, failover)
}

// play stops the leader, starts it again, and returns how long nobody could write.
func (d *demo) play(ctx context.Context, length time.Duration) (failover time.Duration, err error) {
	start := time.Now()
	at := func(part float64) time.Time { return start.Add(time.Duration(part * float64(length))) }
	if err := until(ctx, at(demoStop)); err != nil {
		return 0, err
	}
	leader, number, err := d.cluster.AwaitLeader(ctx)
	if err != nil {
		return 0, err
	}
	d.screen.say("%s, which leads, is stopped now", leader.ID())
	stopped := make(chan error, 1)
	d.writers.watchGap()
	d.cluster.Take(number)
	go func() { stopped <- leader.Shutdown(context.WithoutCancel(ctx)) }()
	successor, _, err := d.cluster.AwaitLeader(ctx)
	if err != nil {
		return 0, err
	}
	if failover, err = d.writers.gapOver(ctx); err != nil {
		return 0, err
	}
	d.screen.say("%s leads: writes went on after %d ms", successor.ID(), failover.Milliseconds())

	if err := until(ctx, at(demoRestart)); err != nil {
		return 0, err
	}
	if err := <-stopped; err != nil {
		return 0, fmt.Errorf("%s did not stop cleanly: %w", leader.ID(), err)
	}
	if err := d.restart(ctx, number); err != nil {
		return 0, err
	}
	return failover, until(ctx, at(1))
}

func (d *demo) restart(ctx context.Context, number int) error {
	leader, _, err := d.cluster.AwaitLeader(ctx)
	if err != nil {
		return err
	}
	goal := leader.Group.Status().CommitIndex
	start := time.Now()
	if err := d.cluster.Start(ctx, number); err != nil {
		return err
	}
	node := d.cluster.Node(number)
	for node.Group.Status().AppliedIndex < goal {
		if err := until(ctx, time.Now().Add(time.Millisecond)); err != nil {
			return err
		}
		if time.Since(start) > 30*time.Second {
			return fmt.Errorf("%s does not catch up: it is at %d of %d", node.ID(), node.Group.Status().AppliedIndex, goal)
		}
	}
	d.screen.say("%s is back from its directory, and caught up after %d ms", node.ID(), time.Since(start).Milliseconds())
	return nil
}

// finish checks what was written and prints the summary.
func (d *demo) finish(ctx context.Context, c *client.Client, length, failover time.Duration) error {
	acknowledged, unknown := d.writers.totals()
	d.screen.say("reading %d keys", d.writers.keys())
	if err := d.writers.check(ctx, c); err != nil {
		return err
	}
	d.screen.print("\n  %d writes were acknowledged, %.0f a second; the outcome of %d is unknown\n", acknowledged, float64(acknowledged)/length.Seconds(), unknown)
	d.screen.print("  without a leader for %d ms\n", failover.Milliseconds())
	d.screen.print("  every acknowledged write is there\n")
	return nil
}

func (d *demo) line(elapsed time.Duration) string {
	leader := "nobody"
	if n, _ := d.cluster.Leader(); n != nil {
		leader = n.ID()
	}
	return fmt.Sprintf("%s leads, %d writes/s", leader, d.writers.rate(elapsed))
}

func until(ctx context.Context, at time.Time) error {
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
