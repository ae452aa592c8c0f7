package actors

import (
	"bytes"
	"errors"

	"github.com/troupe-raft/troupe/messages"
)

// The InstallSnapshot RPC's receiver (Figure 13). Rules 2 to 4, which write chunks to a file, are the receiver's.

// lacks says whether the snapshot has something that this server does not. An error says why it cannot take it.
//
// If existing log entry has same index and term as snapshot's last included entry, retain log entries following it and reply (rule 6): it
// is not needed then.
func (s *state) lacks(m *messages.InstallSnapshot) (bool, error) {
	if m.LastIncludedTerm > m.Header.Term || m.LastIncludedIndex > maxIndex || (m.LastIncludedIndex == 0) != (m.LastIncludedTerm == 0) ||
		m.Bytes > maxIndex || m.Offset > m.Bytes || uint64(len(m.Data)) > m.Bytes-m.Offset {
		return false, errBadChunk
	}
	if m.LastIncludedIndex == 0 {
		return s.lacksOrigin(m.Digest)
	}
	return m.LastIncludedIndex > s.commitIndex && !s.log.holds(m.LastIncludedIndex, m.LastIncludedTerm), nil
}

var errBadChunk = errors.New("the chunk of a snapshot does not fit the snapshot")

// lacksOrigin says whether the group begins with a snapshot that this server does not have.
func (s *state) lacksOrigin(digest []byte) (bool, error) {
	if s.log.last > 0 || bytes.Equal(s.snapshot.GetDigest(), digest) {
		return false, nil
	}
	if s.snapshot != nil {
		return false, otherBackup(digest, s.snapshot.Digest)
	}
	return true, nil
}

// install makes a snapshot that was received and verified the state of this server: discard the entire log (rule 7), load snapshot's
// cluster configuration (rule 8). The machine restores it when it is durable.
//
// The leader's cluster id counts, and not that of the charter: the snapshot may be from before the group lost its quorum.
func (s *state) install(snapshot *messages.Snapshot, leader *messages.Header) error {
	if snapshot.LastIncludedIndex > 0 {
		c := snapshot.Charter
		if c.GetIndex() == 0 || c.GetIndex() > snapshot.LastIncludedIndex || len(c.GetConfiguration().GetVoters()) == 0 {
			return errors.New("the snapshot does not say who is in its group")
		}
		if s.clusterID != 0 && leader.ClusterId != s.clusterID {
			return errors.New("the snapshot is of another cluster")
		}
		if err := s.adopt(snapshot.Charter); err != nil {
			return err
		}
		s.meet(s.configuration())
	}
	s.outbox.replaced(snapshot, s.commitIndex)
	s.log.replace(snapshot.LastIncludedIndex, snapshot.LastIncludedTerm)
	s.snapshot = snapshot
	s.commitWith(leader, snapshot.LastIncludedIndex)
	return nil
}

// cut drops the log up to an index that the snapshot has.
func (s *state) cut(snapshot *messages.Snapshot, to uint64) {
	s.snapshot = snapshot
	if to <= s.log.compacted {
		to = s.log.compacted
	} else {
		s.log.cut(to)
		s.charters.cut(to)
	}
	s.outbox.snapshot(snapshot, to, s.log.compactedTerm)
}
