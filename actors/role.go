package actors

import "github.com/troupe-raft/troupe/messages"

// role is follower, candidate, leader, failed or stopped: what Figure 2 says about a server in the first three, with the state that
// only that role has. Changing role is one assignment, in become.
type role interface {
	kind() Role
	enter(*server)
	leave(*server)
	// receive handles a message.
	receive(*server, any)
	// hearsLeader says whether a leader is known to be alive, so that candidates are refused (thesis 4.2.3).
	hearsLeader(*server) bool
	voteReply(*server, *messages.RequestVoteReply)
	appendEntries(*server, *messages.AppendEntries)
	installSnapshot(*server, *messages.InstallSnapshot)
	// installed: a snapshot takes the place of the log up to an index.
	installed(uint64)
	// callers takes what waits at the door.
	callers(*server, []proposal, []query)
	// handOver takes a caller's wish that another member leads.
	handOver(*server, handoverCall)
	// forward takes what callers of another member want of this one.
	forward(*server, *messages.Forward)
	// timeout is the role's deadline passing.
	timeout(*server)
	// flushed: what was staged goes to the journal.
	flushed(*server)
	// synced: more of what this server staged is durable.
	synced(*server, *batch)
	// gathers says whether what is staged waits for more.
	gathers(*server) bool
	// applied: the machine has applied more.
	applied(*server)
	// mail is what only the role's own children and neighbours send.
	mail(*server, any)

	// leaderID is the leader of currentTerm, empty when it is unknown.
	leaderID(*server) string
	// notLeader is what callers learn from a server that does not lead.
	notLeader(*server) error
	// describe fills in what the status says of the role.
	describe(*server, *Status)
	// check demands the invariants of the role.
	check(*server)
	// refuse answers who waits for what only this role can do.
	refuse(*server, error)
	// needed is the last index up to which the log may be cut, whatever else allows it.
	needed(*server) uint64
	// members are what a leader knows of the members; nil in other roles.
	members() progresses
}

// active is how a role behaves that says nothing else: it takes part in Raft, and does nothing where only one role does something.
type active struct{}

func (active) receive(s *server, m any) { s.handle(m) }

func (active) callers(s *server, proposals []proposal, queries []query) {
	s.door.refuse(proposals, queries, s.role.notLeader(s))
}

func (active) notLeader(s *server) error { return &NotLeaderError{Reason: s.noLeader()} }

func (active) leave(*server)                                 {}
func (active) hearsLeader(*server) bool                      { return false }
func (active) voteReply(*server, *messages.RequestVoteReply) {} // of a candidacy that is over
func (active) flushed(*server)                               {}
func (active) synced(*server, *batch)                        {}
func (active) gathers(*server) bool                          { return false }
func (active) applied(*server)                               {}
func (active) mail(*server, any)                             {} // of a leadership that is over
func (active) leaderID(*server) string                       { return "" }
func (active) check(*server)                                 {}
func (active) refuse(*server, error)                         {}
func (active) installed(uint64)                              {}
func (active) needed(*server) uint64                         { return maxIndex }
func (active) members() progresses                           { return nil }
