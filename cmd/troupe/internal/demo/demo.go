// Package demo is what troupe demo shows: a cluster of processes that loses its leader twice, while clients write to it.
package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/host"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/screen"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
)

// Demo is how long it lasts, and how large it is.
type Demo struct {
	Length  time.Duration
	Dir     string // the data and the logs are below it; empty: the user's cache directory
	Writers int    // clients that write
}

// Check says what is wrong, in the words of the flags of troupe demo.
func (d Demo) Check() error {
	switch {
	case d.Length < 3*time.Second:
		return errors.New("--for must be at least 3s: two leaders are lost and come back meanwhile")
	case d.Writers < 1 || d.Writers > 10000:
		return errors.New("--writers takes 1 to 10000")
	}
	return nil
}

// Run plays the demo. It removes what it wrote, unless something is wrong. When ctx is done it ends with ctx's error, and so do the
// processes.
func (d Demo) Run(ctx context.Context, s *screen.Screen) error {
	dir, remove, err := host.MakeDataDir(d.Dir, "demo")
	if err != nil {
		return err
	}
	err = d.runIn(ctx, s, dir)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w; the data and the logs are in %s", err, dir)
	}
	remove()
	return ctx.Err()
}

// story is a demo under way.
type story struct {
	screen  *screen.Screen
	nodes   *nodes
	writers *writers
	lost    *node // the leader that was lost last
}

func (d Demo) runIn(ctx context.Context, screen *screen.Screen, dir string) (err error) {
	s := &story{screen: screen}
	s.screen.Say("three nodes start, and clients write to them: first one leader will get kill -9, then the next will be cut off")
	if s.nodes, err = startNodes(ctx, dir); err != nil {
		return err
	}
	defer s.nodes.close()
	s.screen.Say("%s; data and logs are in %s", s.nodes, dir)
	first, err := s.nodes.awaitLeader(ctx, nil)
	if err != nil {
		return err
	}
	s.screen.Say("%s leads; %d clients write for %v, whatever happens", first.id, d.Writers, d.Length)
	c := client.New(s.nodes.clientAddresses())
	defer c.Close()
	s.writers = startWriters(ctx, c, d.Writers)
	defer s.writers.stop()
	stopProgress := s.screen.Progress(func(elapsed time.Duration) string { return s.line(ctx, elapsed) })
	defer stopProgress()

	if err := s.play(ctx, d.Length); err != nil {
		return err
	}
	s.writers.stop()
	stopProgress()
	return s.finish(ctx, c, d.Length)
}

// play lets each thing happen at its part of the time, or later when what came before takes long.
func (s *story) play(ctx context.Context, length time.Duration) error {
	start := time.Now()
	for _, act := range []struct {
		at float64
		do func(context.Context) error
	}{
		{0.15, s.killLeader}, {0.35, s.restart}, {0.5, s.cutLeaderOff}, {0.8, s.heal},
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

func (s *story) killLeader(ctx context.Context) error {
	return s.lose(ctx, func(n *node) {
		s.screen.Say("kill -9 of %s, which leads: process %d", n.id, n.process.Process.Pid)
		n.kill()
	})
}

func (s *story) cutLeaderOff(ctx context.Context) error {
	if err := s.lose(ctx, func(n *node) {
		s.screen.Say("%s, which leads, is cut off: it runs, and clients reach it, but the other nodes do not", n.id)
		s.nodes.network.CutOff(n.number)
	}); err != nil {
		return err
	}
	if err := s.nodes.await(ctx, s.lost.id+" does not step down", func() bool {
		status := s.lost.local(ctx)
		return status != nil && status.GetRole() != "leader"
	}); err != nil {
		return err
	}
	s.screen.Say("%s hears no other node, and has stepped down by itself", s.lost.id)
	return nil
}

// lose takes the leader away and tells how long nobody could write.
func (s *story) lose(ctx context.Context, take func(*node)) (err error) {
	if s.lost, err = s.nodes.awaitLeader(ctx, nil); err != nil {
		return err
	}
	s.writers.watchGap()
	take(s.lost)
	successor, err := s.nodes.awaitLeader(ctx, s.lost)
	if err != nil {
		return err
	}
	gap, err := s.writers.gapOver(ctx)
	if err != nil {
		return err
	}
	s.screen.Say("%s leads now: writes stood still for %d ms", successor.id, gap.Milliseconds())
	return nil
}

func (s *story) restart(ctx context.Context) error {
	return s.comeBack(ctx, "is started again, from its directory", func() error { return s.lost.start(ctx) })
}

func (s *story) heal(ctx context.Context) error {
	return s.comeBack(ctx, "is connected again", func() error {
		s.nodes.network.Heal()
		return nil
	})
}

// comeBack returns the lost node and waits until it has what was committed before that.
func (s *story) comeBack(ctx context.Context, how string, act func() error) error {
	leader, err := s.nodes.awaitLeader(ctx, s.lost)
	if err != nil {
		return err
	}
	goal := leader.local(ctx).GetCommitIndex()
	s.screen.Say("%s %s", s.lost.id, how)
	start := time.Now()
	if err := act(); err != nil {
		return err
	}
	if err := s.nodes.await(ctx, s.lost.id+" does not catch up", func() bool {
		status := s.lost.local(ctx)
		return status.GetRole() == "follower" && status.GetAppliedIndex() >= goal
	}); err != nil {
		return err
	}
	s.screen.Say("%s follows, and has everything after %d ms", s.lost.id, time.Since(start).Milliseconds())
	return nil
}

// finish checks what was written and prints the summary.
func (s *story) finish(ctx context.Context, c *client.Client, length time.Duration) error {
	acknowledged, unknown := s.writers.totals()
	s.screen.Say("the clients stop; reading %d keys", s.writers.keys())
	if err := s.writers.check(ctx, c); err != nil {
		return err
	}
	s.screen.Print("\n  %d writes were acknowledged, %.0f a second\n", acknowledged, float64(acknowledged)/length.Seconds())
	s.screen.Print("  the outcome of %d is unknown: they were under way when their leader was lost, and nobody could tell the clients\n"+
		"  whether the other nodes had them by then; such a write may be there or not: a client reads before it repeats one\n", unknown)
	s.screen.Print("  every acknowledged write is there\n")
	return nil
}

func (s *story) line(ctx context.Context, elapsed time.Duration) string {
	leader := "nobody"
	if n := s.nodes.leader(ctx); n != nil {
		leader = n.id
	}
	return fmt.Sprintf("%s leads, %d writes/s", leader, s.writers.rate(elapsed))
}
