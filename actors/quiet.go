package actors

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
)

// quietness is what servers and the pulse of a node know of each other without mail. It is safe for concurrent use.
type quietness struct {
	mu        sync.Mutex
	followers map[string]*quiet    // by group
	nodes     map[string]time.Time // when the pulse at an address last answered
}

func newQuietness() *quietness {
	return &quietness{followers: map[string]*quiet{}, nodes: map[string]time.Time{}}
}

// enter makes a server known by its group; leave forgets it.
func (q *quietness) enter(group string, server *quiet, pid *actor.PID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	server.pid = pid
	q.followers[group] = server
}

func (q *quietness) leave(group string, server *quiet) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.followers[group] == server {
		delete(q.followers, group)
	}
}

// overdue are the servers that sleep, and whose leaders were not heard since then. They are to be woken: each is here once.
func (q *quietness) overdue(since time.Time) (servers []*actor.PID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, server := range q.followers {
		if server.overdue(since) {
			servers = append(servers, server.pid)
		}
	}
	slices.SortFunc(servers, func(a, b *actor.PID) int { return strings.Compare(a.Id, b.Id) })
	return servers
}

// hear tells the followers of a node's leaders that it is heard, and returns those that do not rest under them, or are not here.
func (q *quietness) hear(leader string, groups []*messages.Quiescent, now time.Time) (others []*messages.Quiescent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, g := range groups {
		if server := q.followers[g.GetGroup()]; server == nil || !server.hear(leader, g.GetTerm(), now) {
			others = append(others, g)
		}
	}
	return others
}

func (q *quietness) heardNode(address string, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, asked := q.nodes[address]; asked {
		q.nodes[address] = now
	}
}

// node is when the pulse at an address last answered; zero: it did not.
func (q *quietness) node(address string) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.nodes[address]
}

// keepNodes forgets the nodes that nothing is said to any more.
func (q *quietness) keepNodes(asked map[string][]*messages.Quiescent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	maps.DeleteFunc(q.nodes, func(address string, _ time.Time) bool { return asked[address] == nil })
	for address := range asked {
		if _, known := q.nodes[address]; !known {
			q.nodes[address] = time.Time{}
		}
	}
}

// quiet is what a follower lets pulses know: which leader it follows without wanting anything. It is safe for concurrent use.
type quiet struct {
	mu     sync.Mutex
	leader string // its node's address; empty: the follower wants to hear its leader, or knows none
	term   uint64
	heard  time.Time
	watch  watch
	pid    *actor.PID
}

// watch is who watches over the leader.
type watch uint8

const (
	// byTimer: the server has an election timer.
	byTimer watch = iota
	// byPulse: it has none, and pid is told when the leader is not heard.
	byPulse
	// warned: pid was told, and the server will set its timer.
	warned
)

// rest lets the pulse of the leader's node stand for the leader.
func (q *quiet) rest(leader string, term uint64, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leader, q.term, q.heard, q.watch = leader, term, now, byTimer
}

// stir ends the rest, and says whether the server slept.
func (q *quiet) stir() (slept bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	slept = q.watch != byTimer
	q.leader, q.term, q.heard, q.watch = "", 0, time.Time{}, byTimer
	return slept
}

// sleep lets the server do without a timer, if it rests.
func (q *quiet) sleep() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.leader != "" {
		q.watch = byPulse
	}
	return q.leader != ""
}

// wake says whether the server slept.
func (q *quiet) wake() (slept bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	slept, q.watch = q.watch != byTimer, byTimer
	return slept
}

func (q *quiet) sleeps() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.watch != byTimer
}

// overdue says whether the server is to be told now.
func (q *quiet) overdue(since time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.watch != byPulse || q.heard.After(since) {
		return false
	}
	q.watch = warned
	return true
}

// hear says whether the follower rests under that leader, whose node is heard now.
func (q *quiet) hear(leader string, term uint64, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.leader == "" || q.leader != leader || q.term != term {
		return false
	}
	q.heard = now
	return true
}

// last is when the leader was heard last, by itself or by its node's pulse; zero: the follower does not rest.
func (q *quiet) last() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.heard
}
