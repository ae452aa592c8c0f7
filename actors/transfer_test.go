package actors

import (
	"testing"
	"time"
)

// A follower that failed is asked ever less often whether it takes its snapshot. Once it is well it need not wait for that.
func TestATransferGoesOnWhenItsFollowerIsWell(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		failed, fails bool
		rests         bool // afterwards, for longer
	}{
		"it is well again":               {true, false, false},
		"it fails still":                 {true, true, true},
		"it is well, but its disk full":  {false, false, true},
		"it fails since it said no last": {false, true, true},
	} {
		transfer := &transfer{failed: c.failed, refusals: 6, rests: now.Add(time.Minute)}
		transfer.hear(c.fails, now)
		if rests := transfer.rests.After(now); rests != c.rests || (transfer.refusals > 0) != c.rests {
			t.Errorf("%s: it rests: %v, after %d refusals", name, rests, transfer.refusals)
		}
	}
	(*transfer)(nil).hear(true, now)
}
