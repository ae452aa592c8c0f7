package simulation

import (
	"testing"
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// A group of members that run different versions has the level of the oldest one, over elections too. It rises when the last one runs a
// newer version, and not before; one that is down keeps it where it is.
func TestTheLevelRisesWhenAllMembersKnowIt(t *testing.T) {
	s := newScenario(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	const present = messages.Level
	s.upgrade(a, present+2)
	s.upgrade(b, present+1)
	level := func(want uint32) func() bool {
		return func() bool {
			for _, n := range s.nodes {
				if n.up && n.seen[0].level != want {
					return false
				}
			}
			return true
		}
	}
	s.elect(a)
	s.settled()
	s.during(5*time.Second, "the present level", level(present))
	s.elect(b)
	s.settled()
	s.during(5*time.Second, "the present level", level(present))
	s.crash(c, true)
	s.put("put k 1")
	s.during(5*time.Second, "the present level while one is down", level(present))
	c.level = present + 2
	s.restart(c)
	s.until("the next level", level(present+1))
	s.during(5*time.Second, "the next level", level(present+1))
	s.upgrade(b, present+2)
	s.until("the level after", level(present+2))
	s.put("put k 2")
	s.settled()
}

// upgrade starts a node again, with a version that knows the level.
func (s *scenario) upgrade(n *node, level uint32) {
	s.crash(n, true)
	n.level = level
	s.restart(n)
}
