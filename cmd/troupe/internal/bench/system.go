package bench

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/host"
)

// System says which cluster to measure: it is a Local or a Remote one.
type System interface {
	Check() error
	open(ctx context.Context, out Output) (*system, error)
}

// system is a cluster under measurement.
type system struct {
	targets []target // one for each group
	close   func()

	// The rest is known of clusters in this process only: where the data is, how long the start took, and until all groups had
	// a leader.
	cluster      *host.Local
	dir          string
	started, led time.Duration
}

// target is one replicated map under measurement.
type target interface {
	put(ctx context.Context, key string, value []byte) error
	get(ctx context.Context, how actors.Consistency, key string) error
	leader(ctx context.Context) string
}

// leaders are those of all groups now.
func (s *system) leaders(ctx context.Context) []string {
	all := make([]string, len(s.targets))
	for i, t := range s.targets {
		all[i] = t.leader(ctx)
	}
	return all
}

// leadersChanged is a note for the report, empty when every group's leader is the one before.
func (s *system) leadersChanged(ctx context.Context, before []string) string {
	changed := 0
	for i, t := range s.targets {
		if t.leader(ctx) != before[i] {
			changed++
		}
	}
	switch {
	case changed == 0:
		return ""
	case len(before) == 1:
		return "the leader changed"
	}
	return fmt.Sprintf("the leaders of %d groups changed", changed)
}

// spread says how the groups' leaders are distributed: "n1 3, n2 5, n3 2".
func (s *system) spread(ctx context.Context) string {
	counts := map[string]int{}
	for _, leader := range s.leaders(ctx) {
		counts[leader]++
	}
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", id, counts[id]))
	}
	return strings.Join(parts, ", ")
}
