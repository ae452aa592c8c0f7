package actors

import "testing"

// A member that comes back with another data directory is another node: it is where the configuration says, and not where the one before
// was heard. It may have nothing yet, and then nobody hears of it first.
func TestAReplacedMemberIsWhereItJoined(t *testing.T) {
	for _, c := range []struct {
		store uint64
		at    string
	}{{5, "elsewhere:1"}, {7, "n2:1"}} {
		p := newPeers(&Config{Group: "kv"}, nil)
		with := func(storeID uint64) *Configuration {
			both := []Member{{ID: "n1", Address: "n1:1", StoreID: 1}, {ID: "n2", Address: "n2:1", StoreID: storeID}}
			return newConfiguration(9, both, nil, nil)
		}
		p.follow(with(5), "n1")
		p.of("n2").pid.Address = "elsewhere:1" // its mail came from there
		p.follow(newConfiguration(10, []Member{{ID: "n1", Address: "n1:1", StoreID: 1}}, nil, nil), "n1")
		p.follow(with(c.store), "n1")
		if at := p.of("n2").pid.Address; at != c.at {
			t.Errorf("with data directory %d it is looked for at %s, want %s", c.store, at, c.at)
		}
	}
}
