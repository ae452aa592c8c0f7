package main

import (
	"math"
	"testing"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]struct {
		bytes int64
		again string
	}{
		"0": {0, "0"}, "0GiB": {0, "0"}, "1B": {1, "1B"}, "1000B": {1000, "1000B"}, "1024B": {1024, "1KiB"}, "1025B": {1025, "1025B"},
		"64MiB": {64 << 20, "64MiB"}, "4096MiB": {4 << 30, "4GiB"}, "2TiB": {2 << 40, "2TiB"},
		"9223372036854775807B": {math.MaxInt64, "9223372036854775807B"}, "8388607TiB": {8388607 << 40, "8388607TiB"},
	} {
		var s size
		if err := s.Set(text); err != nil || int64(s) != want.bytes || s.String() != want.again {
			t.Errorf("%s: %d bytes, written %s, %v", text, s, s.String(), err)
		}
	}
}

func TestNonsenseIsNoSize(t *testing.T) {
	const write, units, large = "write a size such as 64MiB", "the units of sizes are B, KiB, MiB, GiB and TiB", "it is too large"
	for text, want := range map[string]string{
		"": write, "64": write, "-1MiB": write, "+1MiB": write, "MiB": write, "1.5GiB": write, " 1MiB": write, "1 MiB": write,
		"1MiB ": write, "0x10B": write, "1MB": units, "1M": units, "1mib": units, "1PiB": units, "NaN": write, "Inf": write,
		"9223372036854775808B": large, "8388608TiB": large, "99999999999999999999GiB": large,
	} {
		s := size(7)
		if err := s.Set(text); err == nil || err.Error() != want || s != 7 {
			t.Errorf("%q: %d, %v", text, s, err)
		}
	}
}
