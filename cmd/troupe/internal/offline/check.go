package offline

import (
	"context"
	"fmt"
	"io"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// Report is what a data directory has. Its JSON is what troupe check prints.
type Report struct {
	Node    string  `json:"node"`
	Cluster string  `json:"cluster"`
	Groups  []Group `json:"groups"`
}

// Group is what a directory has of a group.
type Group struct {
	Name string `json:"group"`
	// The log has the entries from First to Last; none if Last is below First.
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// LogBytes is the length of these entries.
	LogBytes int64 `json:"log_bytes"`
	// SnapshotIndex is 0 without a snapshot, and for the backup that the group begins with.
	SnapshotIndex uint64 `json:"snapshot_index"`
	SnapshotBytes uint64 `json:"snapshot_bytes"`
	// Error says what is wrong, empty when nothing is.
	Error string `json:"error"`
}

// Check reads all that a data directory has, and compares it with its checksums. The report is nil when the directory cannot be opened.
// The error says what is wrong first.
func Check(ctx context.Context, dir string) (*Report, error) {
	s, err := open(dir)
	if err != nil {
		return nil, err
	}
	report, err := check(ctx, s)
	return report, closed(s, err)
}

func check(ctx context.Context, s *persistence.Store) (*Report, error) {
	id := s.Identity()
	report := &Report{Node: id.GetNodeId(), Cluster: id.GetCluster(), Groups: []Group{}}
	groups, err := s.Groups()
	if err != nil {
		return report, err
	}
	var first error
	for _, record := range groups {
		g, err := checkGroup(ctx, s, record)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			g.Error = err.Error()
		}
		if first == nil {
			first = err
		}
		report.Groups = append(report.Groups, g)
	}
	return report, first
}

func checkGroup(ctx context.Context, s *persistence.Store, record *messages.GroupRecord) (Group, error) {
	g := Group{Name: record.GetName()}
	number := persistence.GroupID(record.GetNumber())
	log, err := s.Recover(number)
	if err != nil {
		return g, fmt.Errorf("group %s: %w", g.Name, err)
	}
	g.First, g.Last = log.Compacted+1, log.Last
	if n := len(log.Marks); n > 0 {
		g.LogBytes = log.Marks[n-1].Bytes
	}
	if log.Snapshot == nil {
		return g, nil
	}
	g.SnapshotIndex, g.SnapshotBytes = log.Snapshot.GetLastIncludedIndex(), log.Snapshot.GetBytes()
	if err := checkSnapshot(ctx, s, number, log.Snapshot); err != nil {
		return g, fmt.Errorf("group %s: %w", g.Name, err)
	}
	return g, nil
}

// checkSnapshot also computes the SHA-256, which a node does not when it starts.
func checkSnapshot(ctx context.Context, s *persistence.Store, number persistence.GroupID, pointer *messages.Snapshot) error {
	r, err := s.OpenSnapshot(number, pointer)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	for piece := make([]byte, readBytes); err == nil; {
		if _, err = r.Read(piece); err == nil {
			err = ctx.Err()
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}
