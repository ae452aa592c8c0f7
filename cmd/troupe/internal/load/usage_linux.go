package load

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func processCPU() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// contextSwitches counts how often a thread of this process gave the processor up, or lost it.
func contextSwitches() uint64 {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return uint64(r.Nvcsw + r.Nivcsw)
}

// machineCPU adds up the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal in hundredths of a
// second; what follows is counted in user already.
func machineCPU() time.Duration {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	var ticks uint64
	for i, field := range strings.Fields(string(line)) {
		if busy := i >= 1 && i <= 8 && i != 4 && i != 5; busy {
			n, _ := strconv.ParseUint(field, 10, 64)
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// diskOf is the device number of the disk that holds path, or 0.
func diskOf(path string) uint64 {
	var s syscall.Stat_t
	if syscall.Stat(path, &s) != nil {
		return 0
	}
	return s.Dev
}

// diskFlushes reads the disk's line in /proc/diskstats: major, minor, name, then counters of which the 16th is flushes.
func diskFlushes(disk uint64) uint64 {
	const majorField, minorField, flushField = 0, 1, 18
	stats, err := os.ReadFile("/proc/diskstats")
	if err != nil {
		return 0
	}
	major, minor := strconv.FormatUint(disk>>8&0xfff, 10), strconv.FormatUint(disk&0xff, 10)
	for line := range strings.Lines(string(stats)) {
		fields := strings.Fields(line)
		if len(fields) > flushField && fields[majorField] == major && fields[minorField] == minor {
			n, _ := strconv.ParseUint(fields[flushField], 10, 64)
			return n
		}
	}
	return 0
}
