package transport

import (
	"fmt"
	"testing"
	"time"
)

func TestTheLogIsBoundedWhateverItIsAbout(t *testing.T) {
	var h hush
	now := time.Now()
	lines := 0
	for i := range 10_000 {
		if h.allowAt(now, fmt.Sprint("subject ", i), 1) {
			lines++
		}
		if h.allowAt(now, "one", 3) {
			lines++
		}
	}
	if want := hushSubjects + 1 + 2; lines != want || len(h.spells) > hushSubjects+1 {
		t.Errorf("%d lines about %d subjects, want %d lines", lines, len(h.spells), want)
	}
	now = now.Add(hushTime - 1)
	if h.allowAt(now, "one", 3) || h.allowAt(now, "new", 1) {
		t.Error("more lines within a minute")
	}
	now = now.Add(1)
	if !h.allowAt(now, "one", 3) || !h.allowAt(now, "new", 1) || !h.allowAt(now, "newer", 1) || h.allowAt(now, "new", 1) {
		t.Error("a minute later subjects are not new ones")
	}
}
