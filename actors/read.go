package actors

import "time"

// reads are linearizable by ReadIndex (section 8, thesis 6.4): what is committed when a read arrives is its read index; a
// majority must then answer a message that was sent after the read arrived, which proves that no later leader had committed
// anything; and the state machine must have applied the read index. Many reads share one round.
type reads struct {
	// waiting for the next round; asked: in the present one.
	waiting, asked []query
	free           []query // to be used again
	// Those of followers, likewise.
	waitingRemote, askedRemote []remoteRead
	round                      uint64
	readIndex                  uint64
	begun                      time.Duration // since the machine's boot
	gathering                  gathering
	timed                      bool // a late is on its way
}

func (r *reads) underWay() bool { return len(r.asked)+len(r.askedRemote) > 0 }

// any says whether somebody waits.
func (r *reads) any() bool { return r.underWay() || len(r.waiting)+len(r.waitingRemote) > 0 }

func (r *reads) arrive(queries []query) { r.waiting = append(r.waiting, queries...) }

func (r *reads) refuse(d *Door, err error) {
	d.refuseQueries(r.asked, err)
	d.refuseQueries(r.waiting, err)
	r.asked, r.waiting = nil, nil
}

// read begins a round for the reads that wait, unless one is under way. Before it committed an entry of its term, a leader does
// not know what is committed (section 8).
func (l *leader) read(s *server) {
	r := &l.reads
	if r.underWay() || len(r.waiting)+len(r.waitingRemote) == 0 || s.commitIndex < l.firstOfTerm || r.gathers() {
		return
	}
	r.asked, r.waiting, r.gathering = r.waiting, r.free, gathering{}
	r.free = nil
	r.askedRemote, r.waitingRemote = r.waitingRemote, nil
	r.readIndex, r.begun = s.commitIndex, s.c.Clock.SinceBoot()
	l.beginRound(s)
	r.round = l.round
	l.confirmReads(s)
}

// look has reads made that may be made once readIndex is applied, by their callers or by the machine. To tell many callers takes long: the
// machine does that. It returns the slice, if the machine does not need it.
func (s *server) look(readIndex uint64, queries []query) (free []query) {
	left := queries
	if s.lastApplied >= readIndex && len(queries) <= fewReads {
		left = s.door.letLook(readIndex, queries)
	}
	if len(left) > 0 {
		s.door.look(&lookup{readIndex: readIndex, queries: left})
		return nil
	}
	return queries[:0]
}

// confirmReads hands the reads of a round to the machine when a majority has answered it.
func (l *leader) confirmReads(s *server) {
	r := &l.reads
	if !r.underWay() || !s.configuration().Quorum().Heard(l.all.answered(r.round)) {
		return
	}
	s.learns(r.readIndex, r.begun)
	r.gathering = gatheringAfter(len(r.asked))
	r.free = s.look(r.readIndex, r.asked)
	if r.gathering.left > 0 {
		s.ctx.Send(s.machine, turn{}) // behind the lookup
	}
	for _, q := range r.askedRemote {
		s.replyReadIndex(q, r.readIndex)
	}
	r.asked, r.askedRemote = nil, nil
	l.read(s)
}
