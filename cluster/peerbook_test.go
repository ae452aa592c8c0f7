package cluster

import (
	"slices"
	"testing"
)

// An address is a peer's as long as any group names it.
func TestPeersAreWhomGroupsName(t *testing.T) {
	b, one, other := newPeerBook(), &Group{}, &Group{}
	for i, step := range []struct {
		group   *Group
		names   []string
		changed bool
		peers   []string
	}{
		{one, []string{"a", "b"}, true, []string{"a", "b"}},
		{one, []string{"a", "b"}, false, []string{"a", "b"}},
		{other, []string{"a", "b", "b"}, false, []string{"a", "b"}},
		{one, []string{"a", "c"}, true, []string{"a", "b", "c"}},
		{other, []string{"c", "d"}, true, []string{"a", "c", "d"}},
		{other, nil, true, []string{"a", "c"}},
		{other, nil, false, []string{"a", "c"}},
		{one, nil, true, nil},
	} {
		if changed := b.note(step.group, step.names); changed != step.changed {
			t.Errorf("step %d: changed %t", i, changed)
		}
		if peers := slices.Sorted(slices.Values(b.addresses())); !slices.Equal(peers, step.peers) {
			t.Errorf("step %d: %q are peers, not %q", i, peers, step.peers)
		}
	}
	if len(b.of) != 0 {
		t.Error("a group that names nobody is kept")
	}
}
