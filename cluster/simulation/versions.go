package simulation

import (
	"math/rand/v2"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// newestLevel is that of the newest version of troupe that nodes pretend to run.
const newestLevel = messages.Level + 20

// versions lets the nodes of every second seed run different versions of troupe, and newer ones after restarts. It draws from a source
// of its own.
type versions struct{ rng *rand.Rand }

func (v *versions) draw(nodes []*node, seed uint64) {
	for _, n := range nodes {
		n.level = messages.Level
	}
	if seed/2%2 == 0 {
		return
	}
	v.rng = rand.New(rand.NewPCG(seed, 0x1e7e1))
	for _, n := range nodes {
		n.level += v.rng.Uint32N(3)
	}
}

// upgrade is called before a node is started again. Nobody goes back to an older version.
func (v *versions) upgrade(n *node) {
	if v.rng != nil && n.level < newestLevel && v.rng.IntN(2) == 0 {
		n.level++
		n.w.note("%s knows feature level %d now", n.id, n.level)
	}
}

// checkLevel: a group has the level that the log says, and none that a member does not know.
func (w *world) checkLevel(n *node, g int, v actors.Observation) {
	seen := &n.seen[g]
	if v.Level() != seen.log.level() {
		w.fail("the level in force is the one in the log", "%s has %d, its log has %d", n.id, v.Level(), seen.log.level())
	}
	if v.Level() == seen.level {
		return
	}
	if seen.level != 0 && v.Status().Role == actors.Leader {
		w.strikeLeader(n) // what it raised may be truncated
	}
	seen.level = v.Level()
	for _, other := range w.nodes {
		if other.level < seen.level {
			w.fail("a feature level is used only when every member knows it",
				"%s is in a group of level %d, and %s knows %d", n.id, seen.level, other.id, other.level)
		}
	}
}

// lowestLevel is what all nodes know, if all of them can say so; otherwise 0.
func (w *world) lowestLevel() uint32 {
	lowest := uint32(newestLevel)
	for _, n := range w.nodes {
		if !n.up || n.wiped {
			return 0
		}
		lowest = min(lowest, n.level)
	}
	return lowest
}
