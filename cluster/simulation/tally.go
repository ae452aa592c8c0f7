package simulation

// tally counts what became of the commands of clients that have the same bytes.
type tally struct {
	// asked is how many there are, however many copies of each were sent.
	asked int
	// effects are how often a state machine was given one; each index of the log counts once.
	effects int
	// Of answered ones clients know that they took effect, of refused ones that they did not and will not.
	answered, refused int
	text              string
}

func (t *truth) tally(command []byte) *tally {
	var h trace
	h.bytes(command)
	if t.tallies[h.hash] == nil {
		t.tallies[h.hash] = &tally{text: string(command)}
	}
	return t.tallies[h.hash]
}

func (o *operation) tally() *tally { return o.w.truth[o.group].tally(o.Input) }

// count counts a command that a state machine is given. Tests that ask for themselves do not count.
func (w *world) count(g int, command []byte) {
	if w.truth[g].tallies == nil {
		return
	}
	t := w.truth[g].tally(command)
	if t.effects++; t.effects > t.asked {
		w.fail("a command takes effect once at most", "%q took effect %d times, and was asked for %d times", command, t.effects, t.asked)
	}
}

// checkTallies checks, at the end, that what clients were told of took effect, and what they were told did not happen did not.
func (w *world) checkTallies() {
	for g := range w.truth {
		for _, t := range w.truth[g].tallies {
			if t.effects < t.answered || t.effects > t.asked-t.refused {
				w.fail("a command takes effect once if it is answered, and never if it is refused",
					"%q: %d asked, %d answered, %d refused, %d took effect", t.text, t.asked, t.answered, t.refused, t.effects)
			}
		}
	}
}
