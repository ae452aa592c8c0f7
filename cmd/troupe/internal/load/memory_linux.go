package load

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Resident is the memory of this process, in bytes.
func Resident() uint64 { return statusBytes("VmRSS:") }

// PeakResident is the most memory that this process had since the start, or since ResetPeak.
func PeakResident() uint64 { return statusBytes("VmHWM:") }

// ResetPeak lets PeakResident begin anew; it says whether the system allows that.
func ResetPeak() bool { return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) == nil }

// statusBytes finds a line such as "VmRSS:   1234 kB" in /proc/self/status.
func statusBytes(name string) uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == name {
			n, _ := strconv.ParseUint(fields[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// FreeDisk is how many bytes can be written to the disk that holds path; 0 when the system does not tell.
func FreeDisk(path string) uint64 {
	var s syscall.Statfs_t
	if syscall.Statfs(path, &s) != nil {
		return 0
	}
	return s.Bavail * uint64(s.Bsize)
}
