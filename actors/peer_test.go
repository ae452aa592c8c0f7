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

// Members that lag may know an earlier data directory of this server. That says that it lost its disk only where it is to count, and
// founded the group: not when it came with another directory, or has left (seed 1136).
func TestWhoKnowsAnEarlierDirectoryMayLag(t *testing.T) {
	self := func(storeID uint64) []Member { return []Member{{ID: "n1", Address: "n1:1", StoreID: storeID}} }
	others := []Member{{ID: "n2", Address: "n2:1", StoreID: 2}}
	founded := newConfiguration(0, self(0), nil, nil)
	for _, c := range []struct {
		what     string
		founders *Configuration
		now      *Configuration
		lags     bool
	}{
		{"it founded the group, and its directory is not the one that counts", founded, newConfiguration(9, self(6), nil, nil), false},
		{"it founded the group, and has nothing of the log", founded, founded, false},
		{"it is the one that counts", founded, newConfiguration(9, self(7), nil, nil), true},
		{"it has left", founded, newConfiguration(9, others, nil, nil), true},
		{"it joins", &Configuration{}, &Configuration{}, true},
	} {
		s := state{id: "n1", storeID: 7, founders: c.founders, charters: charters{{configuration: c.now}}}
		if lags := s.replaces(); lags != c.lags {
			t.Errorf("%s: who knows another directory lags: %v", c.what, lags)
		}
	}
}
