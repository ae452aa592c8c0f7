package actors

import (
	"errors"
	"math/rand/v2"
	"testing"
)

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestAppliedIsClosedInTime(t *testing.T) {
	var d Door
	random := rand.New(rand.NewPCG(1, 2))
	d.board.show(Status{AppliedIndex: 5})
	type wait struct {
		index   uint64
		applied <-chan struct{}
		giveUp  func()
	}
	var waits, givenUp []wait
	for range 200 {
		w := wait{index: random.Uint64N(40)}
		var err error
		if w.applied, w.giveUp, err = d.Applied(w.index); err != nil {
			t.Fatal(err)
		}
		if closed(w.applied) != (w.index <= 5) {
			t.Fatalf("waiting for %d at 5: %v", w.index, closed(w.applied))
		}
		if random.IntN(3) == 0 {
			w.giveUp()
			givenUp = append(givenUp, w)
		} else {
			waits = append(waits, w)
		}
	}
	for applied := uint64(5); applied <= 45; applied += 1 + random.Uint64N(4) {
		d.board.show(Status{AppliedIndex: applied})
		for _, w := range waits {
			if closed(w.applied) != (w.index <= applied) {
				t.Fatalf("waiting for %d at %d: %v", w.index, applied, closed(w.applied))
			}
		}
	}
	for _, w := range waits {
		w.giveUp() // late, and harmless
	}
	for _, w := range givenUp {
		if closed(w.applied) && w.index > 5 {
			t.Fatalf("%d was given up, and closed", w.index)
		}
	}
	if n := len(d.board.awaited.lines); n != 0 || d.board.awaited.before.Load() != 0 {
		t.Fatalf("%d still wait", n)
	}
}

func TestNotTooManyWaitForIndexes(t *testing.T) {
	var d Door
	var last func()
	for range mostAwaited {
		_, giveUp, err := d.Applied(7)
		if err != nil {
			t.Fatal(err)
		}
		last = giveUp
	}
	if _, _, err := d.Applied(7); !errors.Is(err, ErrOverloaded) {
		t.Fatal(err)
	}
	last()
	if _, _, err := d.Applied(7); err != nil {
		t.Fatal(err)
	}
}
