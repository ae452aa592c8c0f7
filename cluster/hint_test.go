package cluster_test

import (
	"testing"
	"time"
)

// TestALostConnectionShortensTheFailover: followers notice the broken connection to a dead leader, so that nobody waits for the whole
// election timeout. Both notice it, and may split the votes of their first election: then they wait, and the test tries again.
func TestALostConnectionShortensTheFailover(t *testing.T) {
	t.Parallel()
	const election = 2 * time.Second
	nodes := startProcesses(t, 3, func(s *nodeSpec) {
		s.Config.Timing.Heartbeat, s.Config.Timing.Election = 100*time.Millisecond, election
	})
	for range 4 {
		for _, p := range nodes {
			eventually(t, "a node is ready", func() bool { code, _ := p.page(t, "/readyz"); return code == 200 })
		}
		first := leader(t, nodes)
		killed := time.Now()
		first.kill()
		leader(t, without(nodes, first))
		took := time.Since(killed)
		t.Logf("failover took %v", took)
		if took < election {
			return
		}
		for i, p := range nodes {
			if p == first {
				nodes[i] = startProcess(t, p.spec)
			}
		}
	}
	t.Fatal("no failover took less than the election timeout")
}
