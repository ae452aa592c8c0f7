package transport

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Two network namespaces and a cable between them, which swallows everything in both directions while it is cut.
func TestALinkThatHeals(t *testing.T) {
	cable := exec.Command("unshare", "-n", "ip", "link", "add", "va", "type", "veth", "peer", "name", "vb")
	if os.Getenv(envIsolated) == "" && cable.Run() != nil {
		t.Skip("this needs the right to make network namespaces, and the commands ip and unshare")
	}
	if !isolate(t, "unshare", "-n") {
		return
	}
	there := fmt.Sprintf("troupe-%d", os.Getpid())
	ip := func(args string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	ip("netns add " + there)
	t.Cleanup(func() { ip("netns del " + there) })
	ip("link add va type veth peer name vb netns " + there)
	for _, c := range []string{"addr add 10.77.0.1/24 dev va", "link set va up", "link set lo up",
		"-n " + there + " addr add 10.77.0.2/24 dev vb", "-n " + there + " link set vb up"} {
		ip(c)
	}
	cut := func() {
		ip("neigh replace 10.77.0.2 lladdr 02:00:00:00:00:99 dev va nud permanent")
		ip("-n " + there + " neigh replace 10.77.0.1 lladdr 02:00:00:00:00:99 dev vb nud permanent")
	}
	heal := func() {
		ip("neigh del 10.77.0.2 dev va")
		ip("-n " + there + " neigh del 10.77.0.1 dev vb")
	}

	const other = "10.77.0.2:7000"
	system, tr := start(t, testConfig(t, "10.77.0.1:7000", other))
	c := startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}, Namespace: there})
	askUntilAnswered(t, system, other, 5*time.Second)

	for _, length := range []time.Duration{300 * time.Millisecond, 3 * time.Second, (silentProbes + 2) * time.Second} {
		cut()
		noticed := time.Duration(0)
		for begun := time.Now(); time.Since(begun) < length; time.Sleep(20 * time.Millisecond) {
			sendVote(system, other) // heartbeats are what notices the cut
			if noticed == 0 && !tr.Connected(other) {
				noticed = time.Since(begun)
			}
		}
		if n := tr.Stats().InboundConns; length > (silentProbes+1)*time.Second && n != 0 {
			t.Errorf("after a cut of %v %d dead connections hold the peer's place", length, n)
		}
		if length > 2*time.Second && noticed == 0 {
			t.Error("the cut was not noticed")
		}
		heal()
		healed := time.Now()
		d := askUntilAnswered(t, system, other, 5*time.Second).Sub(healed)
		t.Logf("a cut of %v: noticed after %v, answered %v after it healed", length, noticed, d)
		if d > 1500*time.Millisecond {
			t.Errorf("after a cut of %v it took %v", length, d)
		}
	}
	if n := c.stats().Bad; n != 0 {
		t.Errorf("%d were bad", n)
	}
}
