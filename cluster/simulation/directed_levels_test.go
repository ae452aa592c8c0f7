package simulation

import (
	"testing"
	"time"
)

// A group of members that run different versions has the level of the oldest one, over elections too. It rises when the last one runs a
// newer version, and not before; one that is down keeps it where it is.
func TestTheLevelRisesWhenAllMembersKnowIt(t *testing.T) {
	s := newScenario(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	s.upgrade(a, 3)
	s.upgrade(b, 2)
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
	s.during(5*time.Second, "level 1", level(1))
	s.elect(b)
	s.settled()
	s.during(5*time.Second, "level 1", level(1))
	s.crash(c, true)
	s.put("put k 1")
	s.during(5*time.Second, "level 1 while one is down", level(1))
	c.level = 3
	s.restart(c)
	s.until("level 2", level(2))
	s.during(5*time.Second, "level 2", level(2))
	s.upgrade(b, 3)
	s.until("level 3", level(3))
	s.put("put k 2")
	s.settled()
}

// upgrade starts a node again, with a version that knows the level.
func (s *scenario) upgrade(n *node, level uint32) {
	s.crash(n, true)
	n.level = level
	s.restart(n)
}
