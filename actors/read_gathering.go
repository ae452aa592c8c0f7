package actors

// gathering keeps the callers of reads together, as a cohort does those of a batch. Who is answered calls again at once, as a rule. If the
// next round began before that, with the few who wait already, there would be two rounds for the same callers from then on. So it begins
// when the machine has answered the round before and about as many wait again, or after a few turns of the machine's mailbox, in which
// others run. A clock does not help: its steps are much longer than a round.
type gathering struct {
	size int // reads of the round before
	left int // turns
}

const mostTurns = 10

func gatheringAfter(size int) gathering {
	if size < 2 {
		return gathering{}
	}
	return gathering{size, mostTurns}
}

// waits says whether those who wait do so for others.
func (g *gathering) waits(waiting int) bool {
	return g.left == mostTurns || g.left > 0 && waiting < g.size-g.size/4
}

// gathers says whether the next round waits. Reads of followers have gathered there.
func (r *reads) gathers() bool { return len(r.waitingRemote) == 0 && r.gathering.waits(len(r.waiting)) }

// turned: the machine has answered the round before, and had a turn.
func (l *leader) turned(s *server) {
	g := &l.reads.gathering
	g.left = max(g.left-1, 0)
	if g.waits(len(l.reads.waiting)) {
		s.ctx.Send(s.machine, turn{})
		return
	}
	*g = gathering{}
	l.read(s)
}
