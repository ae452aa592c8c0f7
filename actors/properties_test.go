package actors

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// drawLogs gives the terms of two logs that obey Log Matching: after what they have in common, one has entries of odd terms only,
// the other of even ones.
func drawLogs(t *rapid.T, most uint64) (odd, even []uint64) {
	suffix := func(label string, prefix []uint64, parity uint64) []uint64 {
		term := rapid.Map(rapid.Uint64Range(1, most/2-1), func(n uint64) uint64 { return 2*n + parity })
		terms := rapid.SliceOfN(term, 0, 10).Draw(t, label)
		slices.Sort(terms)
		terms = slices.DeleteFunc(terms, func(term uint64) bool { return len(prefix) > 0 && term < prefix[len(prefix)-1] })
		return slices.Concat(prefix, terms)
	}
	prefix := rapid.SliceOfN(rapid.Uint64Range(1, most), 0, 10).Draw(t, "prefix")
	slices.Sort(prefix)
	return suffix("odd", prefix, 1), suffix("even", prefix, 0)
}

func stateWith(terms []uint64, currentTerm uint64) *state {
	c := &Config{ID: "n2", Group: "g", Members: testMembers(3), Level: messages.Level}
	started, err := newState(c, &messages.Identity{StoreId: 2}, persistence.Recovered{HardState: persistence.HardState{Term: currentTerm}})
	if err != nil {
		panic(err)
	}
	s := &started
	for i, term := range terms {
		s.appendEncoded(term, entryAt(uint64(i)+1, term))
	}
	s.outbox = outbox{durable: s.log.last}
	return s
}

func termsOf(s *state) []uint64 {
	terms := []uint64{}
	for i := uint64(1); i <= s.log.last; i++ {
		terms = append(terms, s.log.term(i))
	}
	return terms
}

func appendOf(leader []uint64, prev, n int, term, commit uint64) *messages.AppendEntries {
	m := &messages.AppendEntries{Header: &messages.Header{From: "n1", Term: term}, PrevLogIndex: uint64(prev), LeaderCommit: commit}
	if prev > 0 {
		m.PrevLogTerm = leader[prev-1]
	}
	for i, entryTerm := range leader[prev : prev+n] {
		m.Entries = append(m.Entries, entryAt(uint64(prev+i)+1, entryTerm))
	}
	return m
}

// entryAt is a no-op, or the founding of a group of three.
func entryAt(index, term uint64) messages.EncodedEntry {
	if index > 1 {
		return messages.EncodeEntry(term, messages.Entry_KIND_NOOP, nil)
	}
	members := testMembers(3)
	for i := range members {
		members[i].StoreID = uint64(i) + 1
	}
	return messages.EncodeEntry(term, messages.Entry_KIND_FOUNDING, encode(&messages.Founding{
		ClusterId: 1, Configuration: newConfiguration(1, members, nil, nil).encoded(), Level: 1,
	}))
}

// Any leader's log brings any follower's log to its own, by hints alone, in about a round per term, while old messages of the
// same leadership come in between.
func TestProbingConvergesWithinARoundPerTerm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leader, other := drawLogs(t, 8)
		follower := stateWith(other, 9)
		leaderLog := stateWith(leader, 9).log
		prev, rounds := uint64(len(leader)), 0
		for {
			rounds++
			reply, verified, err := follower.appendEntries(appendOf(leader, int(prev), 0, 9, 0))
			if err != nil {
				t.Fatal(err)
			}
			if reply.Success {
				if verified != prev {
					t.Fatalf("verified %d, not %d", verified, prev)
				}
				break
			}
			next := leaderLog.lastAtMost(reply.ConflictIndex, reply.ConflictTerm)
			if next >= prev {
				t.Fatalf("the hint %d@%d does not go back from %d", reply.ConflictIndex, reply.ConflictTerm, prev)
			}
			prev = next
		}
		if rounds > 10 {
			t.Fatalf("%d rounds for at most 8 terms", rounds)
		}
		n := len(leader) - int(prev)
		if _, _, err := follower.appendEntries(appendOf(leader, int(prev), n, 9, 0)); err != nil {
			t.Fatal(err)
		}
		before := termsOf(follower)
		old := rapid.IntRange(0, len(leader)).Draw(t, "old")
		length := rapid.IntRange(0, len(leader)-old).Draw(t, "length")
		if _, _, err := follower.appendEntries(appendOf(leader, old, length, 9, 0)); err != nil {
			t.Fatal(err)
		}
		if after := termsOf(follower); !slices.Equal(before, after) || !slices.Equal(after[:len(leader)], leader) {
			t.Fatalf("leader %v, follower %v, then %v after an old message", leader, before, after)
		}
	})
}

// The log in memory answers as a plain list does.
func TestLogAgainstAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, list, term := stateWith(nil, 0), []uint64{}, uint64(1)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				term += rapid.Uint64Range(0, 1).Draw(t, "later")
				s.append(term, messages.Entry_KIND_NOOP, nil)
				list = append(list, term)
			},
			"truncate": func(t *rapid.T) {
				if len(list) > 0 && s.log.tailFirst <= s.log.last {
					from := rapid.Uint64Range(1, s.log.last).Draw(t, "from")
					s.truncate(from)
					list = list[:from-1]
				}
			},
			"forget": func(t *rapid.T) {
				s.log.forget(rapid.Uint64Range(0, s.log.last).Draw(t, "index"), 4, 2)
			},
			"": func(t *rapid.T) {
				if got := termsOf(s); !slices.Equal(got, list) {
					t.Fatalf("terms %v, not %v", got, list)
				}
				for i := s.log.tailFirst; i <= s.log.last; i++ {
					e, err := messages.DecodeEntry(s.log.slice(i, i)[0])
					if err != nil || e.Term != list[i-1] {
						t.Fatalf("entry %d: %v, %v", i, e, err)
					}
				}
				index, most := rapid.Uint64Range(0, s.log.last).Draw(t, "i"), rapid.Uint64Range(0, term).Draw(t, "most")
				want := index
				for want > 0 && list[want-1] > most {
					want--
				}
				if got := s.log.lastAtMost(index, most); got != want {
					t.Fatalf("lastAtMost(%d, %d) of %v is %d, not %d", index, most, list, got, want)
				}
			},
		})
	})
}

// durable never covers an entry that is not, in its present form, in a synced batch: checked against a disk that remembers.
func TestDurableIsWhatTheDiskHas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, disk, version := stateWith(nil, 0), []string{}, 0
		content := func(i uint64) string { return string(s.log.slice(i, i)[0]) }
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				version++
				s.append(1, messages.Entry_KIND_COMMAND, fmt.Append(nil, version))
			},
			"overwrite": func(t *rapid.T) {
				if s.log.last > 0 {
					s.truncate(rapid.Uint64Range(1, s.log.last).Draw(t, "from"))
					version++
					s.append(1, messages.Entry_KIND_COMMAND, fmt.Append(nil, version))
				}
			},
			"flush": func(*rapid.T) {
				if s.outbox.ready() {
					s.seal(time.Time{})
				}
			},
			"sync": func(*rapid.T) {
				if b := s.outbox.writing; b != nil {
					if b.first != 0 {
						disk = disk[:b.records.First-1]
						for _, e := range b.records.Entries {
							disk = append(disk, string(e))
						}
					}
					s.outbox.synced(b)
				}
			},
			"": func(t *rapid.T) {
				if s.outbox.durable > uint64(len(disk)) {
					t.Fatalf("durable %d, the disk has %d entries", s.outbox.durable, len(disk))
				}
				for i := uint64(1); i <= s.outbox.durable; i++ {
					if disk[i-1] != content(i) {
						t.Fatalf("durable %d, but entry %d is another on disk", s.outbox.durable, i)
					}
				}
				if s.outbox.writing == nil && s.outbox.open == nil && s.outbox.durable != s.log.last {
					t.Fatalf("all is synced, but durable is %d of %d", s.outbox.durable, s.log.last)
				}
			},
		})
	})
}
