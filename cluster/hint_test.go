package cluster_test

import (
	"testing"
	"time"
)

// TestALostConnectionShortensTheFailover: the broken connection to a dead leader is noticed, so that nobody waits for the whole
// election timeout.
func TestALostConnectionShortensTheFailover(t *testing.T) {
	t.Parallel()
	const election = 2 * time.Second
	nodes := startProcesses(t, 3, func(s *nodeSpec) {
		s.Config.Timing.Heartbeat, s.Config.Timing.Election = 100*time.Millisecond, election
	})
	first := leader(t, nodes)
	rest := without(nodes, first)
	for _, p := range rest {
		eventually(t, "a follower is ready", func() bool { code, _ := p.page(t, "/readyz"); return code == 200 })
	}
	killed := time.Now()
	first.kill()
	leader(t, rest)
	took := time.Since(killed)
	t.Logf("failover took %v", took)
	if took >= election {
		t.Fatalf("the failover took %v, no less than the election timeout", took)
	}
}
