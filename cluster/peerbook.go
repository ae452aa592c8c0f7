package cluster

import (
	"maps"
	"slices"
)

// peerBook counts the groups that name an address: such an address is a peer's. A node may have thousands of groups, and all of them name
// the same few. Its owner guards it.
type peerBook struct {
	named map[string]int      // by address
	of    map[*Group][]string // addresses
}

func newPeerBook() peerBook { return peerBook{map[string]int{}, map[*Group][]string{}} }

// note takes what a group names now in the place of what it named before. It says whether there are other peers than before.
func (b *peerBook) note(g *Group, addresses []string) (changed bool) {
	for _, a := range addresses {
		b.named[a]++
		changed = changed || b.named[a] == 1
	}
	for _, a := range b.of[g] {
		if b.named[a]--; b.named[a] == 0 {
			delete(b.named, a)
			changed = true
		}
	}
	if b.of[g] = addresses; len(addresses) == 0 {
		delete(b.of, g)
	}
	return changed
}

func (b *peerBook) addresses() []string { return slices.Collect(maps.Keys(b.named)) }
