package cluster

import (
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
	return func() time.Duration {
		var now unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // it works, as it did above
		return time.Duration(now.Nano())
	}
}
