package actors

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/messages"
)

func TestReadsAreChecked(t *testing.T) {
	for c, want := range map[messages.Consistency]Consistency{
		messages.Consistency_LINEARIZABLE: Linearizable, messages.Consistency_LEASE: Lease, messages.Consistency_STALE: Stale,
	} {
		if r, err := ReadOf(c, 0); err != nil || r != (Read{Consistency: want}) {
			t.Errorf("%v: %v %v", c, r, err)
		}
	}
	if r, err := ReadOf(messages.Consistency_BOUNDED, 50); err != nil || r != (Read{Bounded, 50 * time.Millisecond}) {
		t.Error(r, err)
	}
	if r, err := ReadOf(messages.Consistency_BOUNDED, math.MaxUint64); err != nil || r.MaxStaleness < 24*time.Hour {
		t.Error(r, err)
	}
	if _, err := ReadOf(messages.Consistency_BOUNDED, 0); !errors.Is(err, ErrMalformedRead) {
		t.Error(err)
	}
	if _, err := ReadOf(7, 1); !errors.Is(err, ErrMalformedRead) {
		t.Error(err)
	}
}
