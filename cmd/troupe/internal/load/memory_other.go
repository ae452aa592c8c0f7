//go:build !linux

package load

// Resident is the memory of this process, in bytes; 0 where it is not told.
func Resident() uint64 { return 0 }

// PeakResident is the most memory that this process had; 0 where it is not told.
func PeakResident() uint64 { return 0 }

// ResetPeak lets PeakResident begin anew; it says whether the system allows that.
func ResetPeak() bool { return false }

// FreeDisk is how many bytes can be written to the disk that holds path; 0 when the system does not tell.
func FreeDisk(string) uint64 { return 0 }
