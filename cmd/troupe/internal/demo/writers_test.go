package demo

import (
	"fmt"
	"strings"
	"testing"
)

// An acknowledged write that is not there is found.
func TestLedgerCheck(t *testing.T) {
	for what, c := range map[string]struct {
		ledger  ledger
		number  uint64 // 0: there is no such key
		version uint64
		want    string
	}{
		"all is well":          {ledger{tried: 9, acked: 7, version: 5}, 7, 5, ""},
		"an unknown one is in": {ledger{tried: 9, acked: 7, version: 5}, 9, 7, ""},
		"nothing was done":     {ledger{tried: 9}, 0, 0, ""},
		"gone":                 {ledger{tried: 9, acked: 7, version: 5}, 0, 0, "is gone: write 7 of it was acknowledged"},
		"an older one":         {ledger{tried: 9, acked: 7, version: 5}, 6, 5, "lost its write 7"},
		"never sent":           {ledger{tried: 9, acked: 7, version: 5}, 10, 6, "only 9 were sent"},
		"an older version":     {ledger{tried: 9, acked: 7, version: 5}, 7, 4, "went back from version 5 to 4"},
		"seen while writing":   {ledger{regress: "version 5 was followed by version 4"}, 0, 0, "followed by version 4"},
	} {
		c.ledger.key = "k"
		err := c.ledger.compare(c.number > 0, c.number, c.version)
		if text := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(text, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
