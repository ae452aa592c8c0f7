package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/host"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
)

// Fate is what becomes of a node that does not lead, after a quarter of the measured time. Only a Local cluster of one group has
// such a node, if the others are a majority.
type Fate string

// The fates. One that comes late is stopped before the measurement.
const (
	Unharmed Fate = ""
	Stopped  Fate = "stopped"
	Late     Fate = "late"
)

// Check says what is wrong.
func (f Fate) Check() error {
	switch f {
	case Unharmed, Stopped, Late:
		return nil
	}
	return fmt.Errorf("--follower %q is not one of stopped, late", string(f))
}

// catchUpTime is how long a late follower may take after the measured time.
const catchUpTime = 60 * time.Second

// followerJSON is what became of the follower.
type followerJSON struct {
	ID      string  `json:"id"`
	Stopped float64 `json:"shutdown_s,omitempty"`
	// Of a late one: how many entries the leader had committed that it had not, and how long it took to apply them.
	Behind  uint64  `json:"entries_behind,omitempty"`
	CaughtS float64 `json:"caught_up_s,omitempty"`
}

// follower is the node that stops, or comes late.
type follower struct {
	cluster *host.Local
	fate    Fate
	number  int
	applied uint64 // when it stopped
	length  time.Duration
	done    chan error
	followerJSON
}

// choose chooses the node, for a measurement of that length; nil when nothing becomes of any. One that comes late is stopped now:
// the group cannot be founded without it.
func (f Fate) choose(ctx context.Context, s *system, length time.Duration) (*follower, error) {
	if f == Unharmed {
		return nil, nil
	}
	_, leader := s.cluster.Leader()
	chosen := &follower{cluster: s.cluster, fate: f, length: length, done: make(chan error, 1)}
	chosen.number = (leader + 1) % s.cluster.Size()
	chosen.ID = s.cluster.Node(chosen.number).ID()
	if f == Late {
		return chosen, chosen.stop(ctx)
	}
	return chosen, nil
}

// begin is called when the measured time begins. A nil follower stays as it is.
func (f *follower) begin(ctx context.Context) {
	if f == nil {
		return
	}
	go func() {
		if err := wait.For(ctx, f.length/4); err != nil {
			f.done <- err
		} else if f.fate == Stopped {
			f.done <- f.stop(ctx)
		} else {
			f.done <- f.start(ctx)
		}
	}()
}

// result waits for the follower's end, or for it to catch up.
func (f *follower) result() (*followerJSON, error) {
	if f == nil {
		return nil, nil
	}
	err := <-f.done
	return &f.followerJSON, err
}

func (f *follower) stop(ctx context.Context) error {
	n := f.cluster.Take(f.number)
	f.applied = n.Group.Status().AppliedIndex
	begin := time.Now()
	limited, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	err := n.Shutdown(limited)
	f.Stopped = time.Since(begin).Seconds()
	return err
}

func (f *follower) start(ctx context.Context) error {
	leader, _ := f.cluster.Leader()
	if leader == nil {
		return fmt.Errorf("no leader when %s was to start: try again with less load", f.ID)
	}
	target := leader.Group.Status().CommitIndex
	f.Behind = target - min(f.applied, target)
	begin := time.Now()
	if err := f.cluster.Start(ctx, f.number); err != nil {
		return err
	}
	n := f.cluster.Node(f.number)
	for n.Group.Status().AppliedIndex < target {
		if time.Since(begin) > f.length+catchUpTime {
			return fmt.Errorf("%s is still behind %v after its start: at %d of %d",
				f.ID, time.Since(begin), n.Group.Status().AppliedIndex, target)
		}
		if err := wait.For(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	f.CaughtS = time.Since(begin).Seconds()
	return nil
}

// sentence is for people; a nil follower has none.
func (f *followerJSON) sentence() string {
	switch {
	case f == nil:
		return ""
	case f.CaughtS > 0:
		return fmt.Sprintf("%s came late, with %d entries to catch up: that took %.2f s\n", f.ID, f.Behind, f.CaughtS)
	}
	return fmt.Sprintf("%s was stopped after a quarter of the time; its shutdown took %.2f s\n", f.ID, f.Stopped)
}
