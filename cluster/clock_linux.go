package cluster

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot also counts while the machine is suspended, when the monotonic clock stands still. Which clock it is, is decided once: the two
// must not be mixed.
var sinceBoot = bootClock()

func bootClock() func() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return sinceStart
	}
	return (&suspensions{}).sinceBoot
}

// suspensions keep apart the monotonic clock and the one that counts them, too. To read that one is a system call, which takes longer than
// all else that a read by a lease does. A suspension sets the wall clock ahead of the monotonic one: as long as those two keep their
// distance, the other two keep theirs.
type suspensions struct{ seen atomic.Pointer[distances] }

// distances are from the monotonic clock.
type distances struct{ wall, boot time.Duration }

// keptApart is how much the distances may seem to change, since two clocks cannot be read at the same moment.
const keptApart = 100 * time.Microsecond

func (s *suspensions) sinceBoot() time.Duration {
	now := time.Now()
	monotonic := now.Sub(started)
	wall := time.Duration(now.UnixNano()) - monotonic
	seen := s.seen.Load()
	if seen != nil && (wall-seen.wall).Abs() < keptApart {
		return monotonic + seen.boot
	}
	boot := bootTime() - monotonic
	if seen != nil {
		boot = max(boot, seen.boot) // the clock never goes back
	}
	if !s.seen.CompareAndSwap(seen, &distances{wall, boot}) {
		return s.sinceBoot() // another goroutine looked: all tell the same time
	}
	return monotonic + boot
}

func bootTime() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // it works, as it did at the start
	return time.Duration(now.Nano())
}
