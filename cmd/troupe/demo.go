package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/host"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
)

func demoCommand() *command {
	return &command{
		name:    "demo",
		summary: "Show a three-node cluster that loses its leader twice and nothing else.",
		text: `
Starts three processes of this program, with real sockets and every write synced to disk, and lets clients write all the time.
The leader gets kill -9, and is started again from its directory; then the next leader is cut off from the other nodes for a
while. It tells for how long nobody could write. At the end every key is read: the exit code is 1 if a write that was acknowledged
is missing. The data and the logs are removed, unless something is wrong. Ctrl-C ends it at once, processes and all.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			duration := seconds(15 * time.Second)
			flags.Var(&duration, "for", "`time` to write for, at least 3s")
			dir := flags.String("dir", "", "`directory` on a real disk for the data (default the user's cache directory)")
			writers := flags.Int("writers", 64, "`number` of clients that write")
			return func(ctx context.Context, t *terminal, _ []string) error {
				if time.Duration(duration) < 3*time.Second {
					return usagef("--for must be at least 3s: two leaders are lost and come back meanwhile")
				}
				if *writers < 1 || *writers > 10000 {
					return usagef("--writers takes 1 to 10000")
				}
				return runDemo(ctx, t, time.Duration(duration), *dir, *writers)
			}
		},
	}
}

// demo is one run.
type demo struct {
	screen  *screen
	nodes   *demoNodes
	writers *writers
	lost    *demoNode // the leader that was lost last
}

func runDemo(ctx context.Context, t *terminal, length time.Duration, parent string, count int) error {
	dir, remove, err := host.MakeDataDir(parent, "demo")
	if err != nil {
		return err
	}
	err = demoIn(ctx, t, length, dir, count)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w; the data and the logs are in %s", err, dir)
	}
	remove()
	if ctx.Err() != nil {
		return errInterrupted
	}
	return nil
}

func demoIn(ctx context.Context, t *terminal, length time.Duration, dir string, count int) (err error) {
	d := &demo{screen: newScreen(t)}
	d.screen.say("three nodes start, and clients write to them: first one leader will get kill -9, then the next will be cut off")
	if d.nodes, err = startDemoNodes(ctx, dir); err != nil {
		return err
	}
	defer d.nodes.close()
	d.screen.say("%s; data and logs are in %s", d.nodes, dir)
	first, err := d.nodes.awaitLeader(ctx, nil)
	if err != nil {
		return err
	}
	d.screen.say("%s leads; %d clients write for %v, whatever happens", first.id, count, length)
	c := client.New(d.nodes.clientAddresses())
	defer c.Close()
	d.writers = startWriters(ctx, c, count)
	defer d.writers.stop()
	stopProgress := d.screen.progress(func(elapsed time.Duration) string { return d.line(ctx, elapsed) })
	defer stopProgress()

	if err := d.play(ctx, length); err != nil {
		return err
	}
	d.writers.stop()
	stopProgress()
	return d.finish(ctx, c, length)
}

// play lets each thing happen at its part of the time, or later when what came before takes long.
func (d *demo) play(ctx context.Context, length time.Duration) error {
	start := time.Now()
	for _, act := range []struct {
		at float64
		do func(context.Context) error
	}{
		{0.15, d.killLeader}, {0.35, d.restart}, {0.5, d.cutLeaderOff}, {0.8, d.heal},
	} {
		if err := wait.For(ctx, time.Until(start.Add(time.Duration(act.at*float64(length))))); err != nil {
			return err
		}
		if err := act.do(ctx); err != nil {
			return err
		}
	}
	return wait.For(ctx, time.Until(start.Add(length)))
}

func (d *demo) killLeader(ctx context.Context) error {
	return d.lose(ctx, func(n *demoNode) {
		d.screen.say("kill -9 of %s, which leads: process %d", n.id, n.process.Process.Pid)
		n.kill()
	})
}

func (d *demo) cutLeaderOff(ctx context.Context) error {
	if err := d.lose(ctx, func(n *demoNode) {
		d.screen.say("%s, which leads, is cut off: it runs, and clients reach it, but the other nodes do not", n.id)
		d.nodes.network.CutOff(n.number)
	}); err != nil {
		return err
	}
	if err := d.nodes.await(ctx, d.lost.id+" does not step down", func() bool {
		s := d.lost.local(ctx)
		return s != nil && s.GetRole() != "leader"
	}); err != nil {
		return err
	}
	d.screen.say("%s hears no other node, and has stepped down by itself", d.lost.id)
	return nil
}

// lose takes the leader away and tells how long nobody could write.
func (d *demo) lose(ctx context.Context, take func(*demoNode)) (err error) {
	if d.lost, err = d.nodes.awaitLeader(ctx, nil); err != nil {
		return err
	}
	d.writers.watchGap()
	take(d.lost)
	successor, err := d.nodes.awaitLeader(ctx, d.lost)
	if err != nil {
		return err
	}
	gap, err := d.writers.gapOver(ctx)
	if err != nil {
		return err
	}
	d.screen.say("%s leads now: writes stood still for %d ms", successor.id, gap.Milliseconds())
	return nil
}

func (d *demo) restart(ctx context.Context) error {
	return d.comeBack(ctx, "is started again, from its directory", func() error { return d.lost.start(ctx) })
}

func (d *demo) heal(ctx context.Context) error {
	return d.comeBack(ctx, "is connected again", func() error {
		d.nodes.network.Heal()
		return nil
	})
}

// comeBack returns the lost node and waits until it has what was committed before that.
func (d *demo) comeBack(ctx context.Context, how string, act func() error) error {
	leader, err := d.nodes.awaitLeader(ctx, d.lost)
	if err != nil {
		return err
	}
	goal := leader.local(ctx).GetCommitIndex()
	d.screen.say("%s %s", d.lost.id, how)
	start := time.Now()
	if err := act(); err != nil {
		return err
	}
	if err := d.nodes.await(ctx, d.lost.id+" does not catch up", func() bool {
		s := d.lost.local(ctx)
		return s.GetRole() == "follower" && s.GetAppliedIndex() >= goal
	}); err != nil {
		return err
	}
	d.screen.say("%s follows, and has everything after %d ms", d.lost.id, time.Since(start).Milliseconds())
	return nil
}

// finish checks what was written and prints the summary.
func (d *demo) finish(ctx context.Context, c *client.Client, length time.Duration) error {
	acknowledged, unknown := d.writers.totals()
	d.screen.say("the clients stop; reading %d keys", d.writers.keys())
	if err := d.writers.check(ctx, c); err != nil {
		return err
	}
	d.screen.print("\n  %d writes were acknowledged, %.0f a second\n", acknowledged, float64(acknowledged)/length.Seconds())
	d.screen.print("  the outcome of %d is unknown: they were under way when their leader was lost, and nobody could tell the clients\n"+
		"  whether the other nodes had them by then; such a write may be there or not: a client reads before it repeats one\n", unknown)
	d.screen.print("  every acknowledged write is there\n")
	return nil
}

func (d *demo) line(ctx context.Context, elapsed time.Duration) string {
	leader := "nobody"
	if n := d.nodes.leader(ctx); n != nil {
		leader = n.id
	}
	return fmt.Sprintf("%s leads, %d writes/s", leader, d.writers.rate(elapsed))
}
