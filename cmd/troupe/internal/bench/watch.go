package bench

import (
	"fmt"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/host"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/load"
)

// watchEvery is how often the nodes' status is looked at.
const watchEvery = 5 * time.Millisecond

// watchJSON is what was seen of leaders and followers during a run.
type watchJSON struct {
	// Elections are terms that began.
	Elections uint64 `json:"elections"`
	// Leaderless counts how often a follower had no leader, LongestLeaderless is the longest of these times.
	Leaderless        int     `json:"followers_lost_leader"`
	LongestLeaderless float64 `json:"longest_without_leader_ms"`
	// Quiet is the longest time in which a follower's log neither grew nor was committed further, while writes went on. Both
	// happen only when AppendEntries is handled, so that at least one was handled in every such time.
	Quiet float64 `json:"longest_between_entries_ms,omitempty"`
	// Late is the longest time between two looks: what is shorter may have been missed.
	Late float64 `json:"longest_between_looks_ms"`
	// Waits is how long goroutines that could run waited for a processor, at the 99th percentile: each step of a heartbeat's way
	// is one.
	Waits float64 `json:"goroutine_wait_p99_ms"`
}

// watch looks at every server's status until it is stopped.
type watch struct {
	cluster  *host.Local
	writes   bool // writes go on all the time, so that a quiet follower means something
	stopping chan struct{}
	result   chan *watchJSON

	seen    map[*host.Node][]seen
	began   []uint64 // the highest term of each group when it was first seen
	highest []uint64
	last    time.Time
	waits   *load.Waits
	watchJSON
}

// seen is what is known of one server.
type seen struct {
	last, commit uint64
	changed      time.Time
	lost         time.Time // zero: it has a leader
}

func newWatch(cluster *host.Local, writes bool) *watch {
	return &watch{
		cluster: cluster, writes: writes && cluster.Groups() == 1,
		stopping: make(chan struct{}), result: make(chan *watchJSON, 1),
		seen: map[*host.Node][]seen{}, began: make([]uint64, cluster.Groups()), highest: make([]uint64, cluster.Groups()),
	}
}

func (w *watch) start() {
	w.last, w.waits = time.Now(), load.StartWaits()
	go w.run()
}

// stop returns what was seen.
func (w *watch) stop() *watchJSON {
	close(w.stopping)
	return <-w.result
}

func (w *watch) run() {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		w.look(time.Now())
		select {
		case <-ticker.C:
		case <-w.stopping:
			w.look(time.Now())
			for group := range w.began {
				w.Elections += w.highest[group] - w.began[group]
			}
			w.Waits = float64(w.waits.Quantile(0.99)) / float64(time.Millisecond)
			w.result <- &w.watchJSON
			return
		}
	}
}

func (w *watch) look(now time.Time) {
	atLeast(&w.Late, now.Sub(w.last))
	w.last = now
	for i := range w.cluster.Size() {
		n := w.cluster.Node(i)
		if n == nil {
			continue
		}
		if w.seen[n] == nil {
			w.seen[n] = make([]seen, len(n.Parts))
		}
		for group := range n.Parts {
			w.server(&w.seen[n][group], group, n.Parts[group].Status(), now)
		}
	}
}

func (w *watch) server(s *seen, group int, status actors.Status, now time.Time) {
	if w.began[group] == 0 {
		w.began[group] = status.Term
	}
	w.highest[group] = max(w.highest[group], status.Term)
	switch {
	case status.LeaderID != "":
		s.lost = time.Time{}
	case s.lost.IsZero():
		s.lost = now
		w.Leaderless++
	default:
		atLeast(&w.LongestLeaderless, now.Sub(s.lost))
	}
	if status.Role != actors.Follower || s.changed.IsZero() {
		s.changed = now
	}
	if w.writes {
		atLeast(&w.Quiet, now.Sub(s.changed))
	}
	if status.LastIndex != s.last || status.CommitIndex != s.commit {
		s.last, s.commit, s.changed = status.LastIndex, status.CommitIndex, now
	}
}

func atLeast(most *float64, d time.Duration) {
	*most = max(*most, float64(d)/float64(time.Millisecond))
}

// sentence is for people; without a watch there is none.
func (w *watchJSON) sentence() string {
	if w == nil {
		return ""
	}
	text := fmt.Sprintf("elections: %d; followers lost their leader %d times, for at most %.0f ms",
		w.Elections, w.Leaderless, w.LongestLeaderless)
	if w.Quiet > 0 {
		text += fmt.Sprintf("; AppendEntries reached every follower at least every %.0f ms", w.Quiet)
	}
	return text + fmt.Sprintf(" (looked at every %.0f ms at most)\ngoroutines that could run waited for %.1f ms at p99\n", w.Late, w.Waits)
}
