package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/troupe-raft/troupe/actors"
)

// drawnLimits are the ones given, or small ones. Those of snapshots are small in every run, so that logs are cut. In every second seed all
// others are so small, too, that bounds matter: each is small in most of them.
func (o *Options) drawnLimits() (l actors.Limits, logBudget int64, exciseBytes int) {
	if o.Limits != (actors.Limits{}) {
		return o.Limits, 0, 0
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0x11417))
	one := func(choices ...int) int { return choices[rng.IntN(len(choices))] } // 0: the default
	if o.Seed%2 == 1 {
		l = smallLimits(one)
	}
	l.SnapshotAfter, l.LogKeep = int64(one(200, 400, 800, 1600)), int64(one(1, 1, 50, 300))
	l.ChunkBytes = one(16, 64, 200, 0)
	return l, int64(one(0, 0, 100, 1000)), one(1, 100, 1000, 0)
}

func smallLimits(one func(...int) int) actors.Limits {
	return actors.Limits{
		MessageBytes: one(1, 32, 32, 100, 0), InflightMessages: one(1, 2, 3, 8, 0), InflightBytes: one(1, 64, 300, 0, 0),
		TailBytes: one(1, 64, 256, 256, 0), TailEntries: one(1, 3, 10, 0, 0),
		ApplyEntries: one(1, 2, 3, 10, 0), ApplyBytes: one(1, 64, 64, 300, 0), AdmittedCommands: one(1, 2, 4, 4, 0),
	}
}

// limits are those of the node's next start. In every second seed those of sessions are small, and others on each node and after each
// restart: only what is in the log may count. They draw from a source of their own.
func (n *node) limits() actors.Limits {
	l := n.w.limits
	if n.w.options.smallSessions() {
		rng := rand.New(rand.NewPCG(n.w.options.Seed, uint64(n.place)<<32|uint64(n.incarnation)))
		l.Sessions = smallSessions(func(choices ...int) int { return choices[rng.IntN(len(choices))] })
	}
	return l
}

func (o *Options) smallSessions() bool { return o.Seed%2 == 1 && o.Limits == (actors.Limits{}) }

func smallSessions(one func(...int) int) actors.SessionLimits {
	l := actors.SessionLimits{
		Sessions: uint64(one(1, 2, 3, 6, 0)), Window: uint64(one(1, 2, 3, 8, 0)), AnswerBytes: uint64(one(1, 70, 150, 400, 0)),
	}
	if keep := one(1, 1, 200, 1000, 0); keep > 0 {
		l.Keep = time.Duration(keep) * time.Millisecond
		l.TTL = l.Keep * time.Duration(one(1, 3, 1000))
	}
	return l
}
