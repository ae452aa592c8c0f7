package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/troupe-raft/troupe/actors"
)

// How long a shutdown waits for each part before the next one. A healthy node needs milliseconds; a part that hangs, such as a
// disk that never answers, is left behind.
const (
	drainTime = 500 * time.Millisecond
	partTime  = 3 * time.Second
)

// Shutdown stops the node: other members take over what it leads, for which it waits two seconds at most, clients are sent away,
// groups end and answer whoever still waits, the disk is synced and closed. It returns when that is done. When ctx ends before that it
// returns an error, and the rest goes on by itself. After a failure of the disk it does not wait for the disk, and returns the failure.
// Further calls wait for the same end.
func (n *Node) Shutdown(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	n.stopOnce.Do(func() { go n.stop() })
	select {
	case <-n.done:
		return n.stopErr
	default:
	}
	select {
	case <-n.done:
		return n.stopErr
	case <-ctx.Done():
		return fmt.Errorf("node %s is still stopping: %w", n.config.ID, ctx.Err())
	}
}

// stop ends the node's parts, the highest first. Groups end before clients' connections are cut, so that clients get their answers.
func (n *Node) stop() {
	defer close(n.done)
	close(n.ending)
	n.mu.Lock()
	n.closing = true
	n.mu.Unlock()
	n.within("starting groups", partTime, n.starts.Wait)
	n.handOver()
	drained := n.port.Drain(drainTime)
	n.stopGroups()
	n.within("the client port", drainTime, func() { <-drained })
	n.port.Close()
	n.calls.stop()
	n.within("the actors that groups share", partTime, func() {
		for _, pid := range n.shared.PIDs() {
			stopActor(n.system.Root, pid)
		}
	})
	n.within("the node's actor", partTime, func() { stopActor(n.system.Root, n.prober.pid) })
	n.within("the peer port", partTime, n.transport.Shutdown)
	n.system.Shutdown()
	n.workers.close()
	n.stopErr = n.closeStore()
	n.log.Info("the node is stopped")
}

// handOverTime is for other nodes to take over the groups that this one leads. What is not taken over in time, elects.
const handOverTime = 2 * time.Second

// handOver lets other members lead, all groups at a time, while clients are still served here.
func (n *Node) handOver() {
	if n.Failed() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), handOverTime)
	defer cancel()
	var all sync.WaitGroup
	for _, g := range n.Groups() {
		if g.Status().Role == actors.Leader {
			all.Go(func() {
				if _, err := g.HandOver(ctx, ""); err != nil && len(g.Members()) > 1 {
					n.log.Warn("nobody takes over", "group", g.name, "err", err)
				}
			})
		}
	}
	all.Wait()
}

func (n *Node) stopGroups() {
	groups := n.Groups()
	n.within("groups", partTime, func() {
		var all sync.WaitGroup
		for _, g := range groups {
			all.Go(func() {
				stopActor(n.system.Root, g.door.PID())
				close(g.stopped)
			})
		}
		all.Wait()
	})
	n.within("the application's actors for groups", partTime, func() {
		for _, g := range groups {
			if g.facade != nil {
				// The facade ends after it has passed on the answers that were just mailed to it.
				_ = n.options.app.Root.PoisonFuture(g.facade).Wait()
			}
		}
	})
}

func (n *Node) closeStore() error {
	var err error
	if !n.within("the store", partTime, func() { err = n.store.Close() }) {
		return errors.New("the store does not close: the disk does not answer, see to it before the node is started again")
	}
	return err
}

// within waits for f, but no longer than limit.
func (n *Node) within(what string, limit time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		n.log.Warn("a part of the node does not stop and is left behind", "part", what, "waited", limit)
		return false
	}
}
