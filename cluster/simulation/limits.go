package simulation

import (
	"cmp"
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

// limits are those of the node's next start. In every second seed those of sessions are small; in half of these, others on each node and
// after each restart: only what is in the log may count.
func (n *node) limits() actors.Limits {
	o, l := &n.w.options, n.w.limits
	switch limits, known := o.sessionLimits(); {
	case known:
		l.Sessions = limits
	default:
		l.Sessions = o.drawnSessions(uint64(n.place+1)<<32 | uint64(n.incarnation))
	}
	return l
}

func (o *Options) smallSessions() bool { return o.Seed%2 == 1 && o.Limits == (actors.Limits{}) }

// sessionLimits are those of all nodes; known is false when each has its own.
func (o *Options) sessionLimits() (l actors.SessionLimits, known bool) {
	switch {
	case !o.smallSessions():
		return defaulted(o.Limits.Sessions), true
	case o.Seed%4 == 3:
		return o.drawnSessions(0), true
	}
	return l, false
}

func defaulted(l actors.SessionLimits) actors.SessionLimits {
	return actors.SessionLimits{
		Sessions: cmp.Or(l.Sessions, 4096), Window: cmp.Or(l.Window, 4096), AnswerBytes: cmp.Or(l.AnswerBytes, 64<<20),
		Keep: cmp.Or(l.Keep, 30*time.Second), TTL: cmp.Or(l.TTL, time.Hour),
	}
}

// drawnSessions draws from a source of its own.
func (o *Options) drawnSessions(source uint64) (l actors.SessionLimits) {
	rng := rand.New(rand.NewPCG(o.Seed, source))
	one := func(choices ...int) int { return choices[rng.IntN(len(choices))] } // 0: the default
	l.Sessions, l.Window, l.AnswerBytes = uint64(one(1, 2, 3, 6, 0)), uint64(one(1, 2, 3, 8, 0)), uint64(one(1, 70, 150, 400, 0))
	if keep := one(1, 1, 200, 1000, 0); keep > 0 {
		l.Keep = time.Duration(keep) * time.Millisecond
		l.TTL = l.Keep * time.Duration(one(1, 3, 1000))
	}
	return defaulted(l)
}
