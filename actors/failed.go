package actors

import (
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// failed is the role of a server after its disk or its state machine failed: it promises nothing, and says why to all that ask.
type failed struct {
	err error
	active
}

func (f *failed) kind() Role { return Failed }

func (f *failed) enter(s *server) {
	s.alarm.deadline = time.Time{}
	s.outbox.open = nil
	s.known = readPoint{} // it may never be applied here
	s.stopReception()
	s.endTaking(f.err)
	s.ctx.Send(s.machine, &refuseReads{f.err})
	proposals, queries, handovers := s.door.take(nil, nil)
	f.callers(s, proposals, queries)
	for _, call := range handovers {
		f.handOver(s, call)
	}
}

// receive stands for all of the server's handling: no rule of the paper applies any more.
func (f *failed) receive(s *server, m any) {
	switch m := m.(type) {
	case bell:
		s.answerDoor()
	case *messages.AppendEntries:
		if s.intact(m) {
			s.send(s.ctx.Sender(), &messages.AppendEntriesReply{Header: replyHeader(s, m.Header), Error: f.err.Error()})
		}
	case *messages.InstallSnapshot:
		if s.intact(m) {
			s.send(s.ctx.Sender(), &messages.InstallSnapshotReply{Header: replyHeader(s, m.Header), Error: f.err.Error()})
		}
	case *restored:
		s.door.restoring.Store(false) // stale reads can be answered
	case *frozen:
		s.ctx.Send(s.machine, &thaw{m.view})
	case *recorded:
		s.ctx.Send(s.machine, &thaw{s.taking.view})
	case *yourTurn:
		s.passTurn()
	case wantSnapshot:
		s.wantSnapshot()
		s.refuseWanting(f.err)
	}
}

// replyHeader is of the term of the message, so that its sender takes the reply as one to it.
func replyHeader(s *server, h *messages.Header) *messages.Header {
	header := s.header(h.From)
	header.Term = h.Term
	return header
}

func (f *failed) callers(s *server, proposals []proposal, queries []query) {
	s.door.refuse(proposals, queries, f.err)
}

func (f *failed) handOver(s *server, call handoverCall)              { s.door.answerHandover(call, f.err) }
func (f *failed) describe(_ *server, status *Status)                 { status.Err, status.Unready = f.err, f.err }
func (f *failed) appendEntries(*server, *messages.AppendEntries)     {}
func (f *failed) installSnapshot(*server, *messages.InstallSnapshot) {}
func (f *failed) timeout(*server)                                    {}
