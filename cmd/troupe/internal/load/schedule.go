package load

import (
	"math/rand/v2"
	"time"
)

// schedule tells when the operations of an open loop should start: evenly, or as a Poisson process.
type schedule struct {
	step   float64 // nanoseconds, on average
	at     float64
	random *rand.Rand // nil: evenly
}

func newSchedule(rate float64, poisson bool, seed uint64) *schedule {
	s := &schedule{step: float64(time.Second) / rate}
	if poisson {
		s.random = rand.New(rand.NewPCG(seed, 11))
	}
	return s
}

// next is the time of the next start, from the beginning of the run.
func (s *schedule) next() time.Duration {
	if s.random != nil {
		s.at += s.random.ExpFloat64() * s.step
	} else {
		s.at += s.step
	}
	return time.Duration(s.at)
}
