package hush

import (
	"fmt"
	"testing"
	"time"
)

func TestTheLogIsBoundedWhateverItIsAbout(t *testing.T) {
	var h Hush
	now := time.Now()
	lines := 0
	for i := range 10_000 {
		if h.AllowAt(now, fmt.Sprint("subject ", i), 1) {
			lines++
		}
		if h.AllowAt(now, "one", 3) {
			lines++
		}
	}
	if want := subjects + 1 + 2; lines != want || len(h.spells) > subjects+1 {
		t.Errorf("%d lines about %d subjects, want %d lines", lines, len(h.spells), want)
	}
	now = now.Add(Time - 1)
	if h.AllowAt(now, "one", 3) || h.AllowAt(now, "new", 1) {
		t.Error("more lines within a minute")
	}
	now = now.Add(1)
	if !h.AllowAt(now, "one", 3) || !h.AllowAt(now, "new", 1) || !h.AllowAt(now, "newer", 1) || h.AllowAt(now, "new", 1) {
		t.Error("a minute later subjects are not new ones")
	}
}
