package cluster

import (
	"testing"
	"time"
)

// What is told of the time since boot is what that clock says, nearly, whatever was seen before: nothing, what is still
// so, or how the clocks were before the wall clock was set, or before the machine was suspended.
func TestSinceBoot(t *testing.T) {
	now := time.Now()
	monotonic := now.Sub(started)
	wall, boot := time.Duration(now.UnixNano())-monotonic, bootTime()-monotonic
	for name, seen := range map[string]*distances{
		"nothing":                 nil,
		"the same":                {wall, boot},
		"the wall clock was set":  {wall + time.Hour, boot},
		"or the other way":        {wall - time.Hour, boot},
		"the machine has slept":   {wall - time.Hour, boot - time.Hour},
		"it has slept for little": {wall - time.Millisecond, boot - time.Millisecond},
	} {
		var s suspensions
		s.seen.Store(seen)
		for range 2 {
			before := bootTime()
			got := s.sinceBoot()
			if after := bootTime(); got < before-keptApart || got > after+10*time.Millisecond {
				t.Errorf("%s: %v, between %v and %v", name, got, before, after)
			}
		}
	}
}

func BenchmarkSinceBoot(b *testing.B) {
	for b.Loop() {
		sinceBoot()
	}
}
