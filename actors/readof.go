package actors

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// ErrMalformedRead is why a read cannot be asked for; the text says what is wrong.
var ErrMalformedRead = errors.New("malformed read")

// ReadOf is the read that a client asks for, checked.
func ReadOf(c messages.Consistency, maxStalenessMs uint64) (Read, error) {
	switch c {
	case messages.Consistency_LINEARIZABLE:
		return Read{Consistency: Linearizable}, nil
	case messages.Consistency_LEASE:
		return Read{Consistency: Lease}, nil
	case messages.Consistency_STALE:
		return Read{Consistency: Stale}, nil
	case messages.Consistency_BOUNDED:
		if maxStalenessMs == 0 {
			return Read{}, fmt.Errorf("%w: BOUNDED needs max_staleness_ms above 0: give one, or ask for LINEARIZABLE", ErrMalformedRead)
		}
		most := uint64(math.MaxInt64 / time.Millisecond)
		return Read{Bounded, time.Duration(min(maxStalenessMs, most)) * time.Millisecond}, nil
	}
	return Read{}, fmt.Errorf("%w: there is no consistency %d: ask for LINEARIZABLE, LEASE, BOUNDED or STALE", ErrMalformedRead, c)
}
