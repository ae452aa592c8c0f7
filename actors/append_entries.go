package actors

import (
	"errors"
	"fmt"

	"github.com/troupe-raft/troupe/messages"
)

// appendEntries is the AppendEntries RPC's receiver (Figure 2). The caller has adopted a higher term already. verified is the
// last index known to equal the leader's log, whether durable or not; the reply claims only what is durable. An error means
// that the message is damaged or breaks the protocol: nothing was changed, and there is no reply.
func (s *state) appendEntries(m *messages.AppendEntries) (reply *messages.AppendEntriesReply, verified uint64, err error) {
	reply = &messages.AppendEntriesReply{Header: s.header(m.Header.From), Round: m.Round}
	// 1. Reply false if term < currentTerm (section 5.1).
	if m.Header.Term < s.currentTerm {
		return reply, 0, nil
	}
	if err := s.checkEntries(m); err != nil {
		return nil, 0, err
	}
	// What is committed here is in the leader's log too (Leader Completeness, section 5.4): a late message changes nothing in it.
	prev, entries := m.PrevLogIndex, m.Entries
	if prev < s.commitIndex {
		known := min(s.commitIndex-prev, uint64(len(entries)))
		prev, entries = s.commitIndex, entries[known:]
	} else if !s.log.holds(prev, m.PrevLogTerm) {
		// 2. Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm (section 5.3).
		reply.ConflictIndex = s.log.lastAtMost(prev, m.PrevLogTerm)
		reply.ConflictTerm = s.log.term(reply.ConflictIndex)
		return reply, 0, nil
	}
	verified = prev + uint64(len(entries))
	if err := s.store(prev, entries); err != nil {
		return nil, 0, err
	}
	// 5. If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry): of the last one that
	// this message verified.
	s.commitWith(m.Header, min(m.LeaderCommit, verified))
	reply.Success, reply.MatchIndex = true, min(verified, s.outbox.durable)
	return reply, verified, nil
}

// store obeys rules 3 and 4 for entries that follow prev.
func (s *state) store(prev uint64, entries []messages.EncodedEntry) error {
	for i, encoded := range entries {
		index := prev + 1 + uint64(i)
		entry, err := messages.DecodeEntry(encoded)
		if err != nil {
			return err
		}
		if index <= s.log.last {
			if s.log.term(index) == entry.Term {
				continue
			}
			// 3. If an existing entry conflicts with a new one (same index but different terms), delete the existing entry
			// and all that follow it (section 5.3).
			s.truncate(index)
		}
		// 4. Append any new entries not already in the log.
		s.appendEncoded(entry.Term, encoded)
		if entry.Kind.Amends() {
			s.mustAmend(entry)
		}
	}
	return nil
}

var errTermsFall = errors.New("the terms of the entries fall")

// checkEntries looks at everything in the message before anything is changed by it.
func (s *state) checkEntries(m *messages.AppendEntries) error {
	term := m.PrevLogTerm
	if m.PrevLogIndex > maxIndex-uint64(len(m.Entries)) {
		return fmt.Errorf("the index %d is too high", m.PrevLogIndex)
	}
	for i, encoded := range m.Entries {
		entry, err := messages.DecodeEntry(encoded)
		switch {
		case err != nil:
			return err
		case entry.Term < term || entry.Term == 0 || entry.Term > m.Header.Term:
			return errTermsFall
		}
		term = entry.Term
		index := m.PrevLogIndex + 1 + uint64(i)
		if index > 1 && !entry.Kind.Amends() {
			continue
		}
		amended, err := charter{}.amended(index, entry, s.level)
		if err == nil && index == 1 {
			err = s.foundedByOthers(amended.configuration)
		}
		if err == nil && index == 1 {
			err = s.beginsWith(entry)
		}
		var tooOld TooOldError
		if errors.As(err, &tooOld) {
			tooOld.What += fmt.Sprintf(", from a node that knows feature levels up to %d", m.Header.Level)
			err = tooOld
		}
		if err != nil {
			return err
		}
	}
	if term > m.Header.Term {
		return errTermsFall
	}
	return nil
}

// maxIndex keeps indexes from wrapping.
const maxIndex = 1<<63 - 1
