//go:build !linux

package load

import "time"

func processCPU() time.Duration { return 0 }
func contextSwitches() uint64   { return 0 }
func machineCPU() time.Duration { return 0 }
func diskOf(string) uint64      { return 0 }
func diskFlushes(uint64) uint64 { return 0 }
