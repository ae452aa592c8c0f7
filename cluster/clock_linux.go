package cluster

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot also counts while the machine is suspended, when the monotonic clock stands still.
func sinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return sinceStart()
	}
	return time.Duration(now.Nano())
}
