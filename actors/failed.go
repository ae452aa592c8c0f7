package actors

import (
	"errors"
	"fmt"
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// failed is the role of a server whose disk or state machine failed: it promises nothing, and says why to all that ask.
type failed struct{ err error }

func (f *failed) kind() Role { return Failed }

func (f *failed) enter(s *server) {
	s.alarm.deadline = time.Time{}
	s.outbox.open = nil
	unknown := fmt.Errorf("%w (%w)", ErrOutcomeUnknown, f.err)
	s.dropWaiters(0, unknown)
	if errors.Is(f.err, ErrGroupFailed) {
		s.door.close(f.err) // the machine is gone: not even stale reads can be answered
	}
	proposals, queries := s.door.take(nil, nil)
	f.callers(s, proposals, queries)
}

func (f *failed) appendEntries(s *server, m *messages.AppendEntries) {
	s.reply(s.ctx.Sender(), &messages.AppendEntriesReply{Header: s.header(m.Header.From), Round: 0, Error: f.err.Error()})
}

func (f *failed) callers(s *server, proposals []proposal, queries []query) {
	s.door.refuseProposals(proposals, f.err)
	s.door.refuseQueries(queries, f.err)
}

func (f *failed) leave(*server)                                 {}
func (f *failed) hearsLeader(*server) bool                      { return true } // it refuses all candidates
func (f *failed) voteReply(*server, *messages.RequestVoteReply) {}
func (f *failed) timeout(*server)                               {}
func (f *failed) synced(*server)                                {}
func (f *failed) mail(*server, any)                             {}
