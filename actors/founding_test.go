package actors

import (
	"testing"

	"github.com/troupe-raft/troupe/messages"
)

// Two members that were restored from different backups never found a group, and each knows why.
func TestMembersWithDifferentBackupsDisagree(t *testing.T) {
	mine := &messages.Snapshot{Bytes: 1, Digest: []byte("mine")}
	for _, c := range []struct {
		name      string
		log       []uint64
		snapshot  *messages.Snapshot
		candidate *messages.RequestVote
		disagrees bool
		granted   bool
	}{
		{"the same backup", nil, mine, &messages.RequestVote{Origin: []byte("mine")}, false, true},
		{"another backup", nil, mine, &messages.RequestVote{Origin: []byte("theirs")}, true, false},
		{"only this server has a backup", nil, mine, &messages.RequestVote{}, false, false},
		{"only the candidate has one", nil, nil, &messages.RequestVote{Origin: []byte("theirs")}, false, true},
		{"the candidate has a log", nil, mine, &messages.RequestVote{LastLogIndex: 1, LastLogTerm: 1}, false, true},
		{"this server has a log", []uint64{1}, mine, &messages.RequestVote{Origin: []byte("theirs")}, false, false},
	} {
		s := stateWith(c.log, 3)
		s.snapshot = c.snapshot
		c.candidate.Header = &messages.Header{From: "n1", Term: s.currentTerm}
		if s.disagrees(c.candidate) != c.disagrees {
			t.Errorf("%s: disagrees is not %v", c.name, c.disagrees)
		}
		if reply := s.requestVote(c.candidate); reply.Granted != c.granted {
			t.Errorf("%s: granted %v", c.name, reply.Granted)
		}
	}
}
