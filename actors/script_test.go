package actors

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// script reads the arguments of one command.
type script struct {
	t  *testing.T
	d  *datadriven.TestData
	of int // members of the group
}

func (c script) has(key string) bool { return c.d.HasArg(key) }

func (c script) text(key, otherwise string) string {
	if !c.has(key) {
		return otherwise
	}
	var v string
	c.d.ScanArgs(c.t, key, &v)
	return v
}

func (c script) number(key string, otherwise uint64) uint64 {
	return c.parse(c.text(key, strconv.FormatUint(otherwise, 10)))
}

func (c script) parse(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		c.d.Fatalf(c.t, "%v", err)
	}
	return n
}

// duration is 0 when it is not there.
func (c script) duration(key string) time.Duration {
	d, err := time.ParseDuration(c.text(key, "0"))
	if err != nil {
		c.d.Fatalf(c.t, "%v", err)
	}
	return d
}

// entry reads index@term.
func (c script) entry(key string) (index, term uint64) {
	before, after, _ := strings.Cut(c.text(key, "0@0"), "@")
	return c.parse(before), c.parse(after)
}

func (c script) entries(key string) (first uint64, entries []messages.EncodedEntry) {
	text := c.text(key, "")
	if text == "" {
		return 0, nil
	}
	for i, pair := range strings.Split(text, ",") {
		pair, special, _ := strings.Cut(pair, ":")
		before, after, _ := strings.Cut(pair, "@")
		index := c.parse(before)
		if i == 0 {
			first = index
		}
		kind, data := messages.Entry_KIND_COMMAND, []byte("c"+before)
		if index == 1 {
			kind, data = messages.Entry_KIND_FOUNDING, foundingOf77(c.t, c.of)
		}
		switch what, n, _ := strings.Cut(special, "="); what {
		case "level":
			kind, data = messages.Entry_KIND_LEVEL, encode(&messages.FeatureLevel{Level: uint32(c.parse(n))})
		case "members":
			kind, data = messages.Entry_KIND_CONFIGURATION, encode(configurationOf(c.t, index, n).encoded())
		case "alone":
			m := configurationOf(c.t, index, n).encoded()
			m.ClusterId = 88
			kind, data = messages.Entry_KIND_CONFIGURATION, encode(m)
		case "kind":
			kind = messages.Entry_Kind(c.parse(n))
		}
		entries = append(entries, messages.EncodeEntry(c.parse(after), kind, data))
	}
	return first, entries
}

// configurationOf reads voters, outgoing voters and learners, as in n1+n2-n1+n3/n4.
func configurationOf(t *testing.T, index uint64, text string) *Configuration {
	t.Helper()
	text, learners, _ := strings.Cut(text, "/")
	voters, outgoing, _ := strings.Cut(text, "-")
	return newConfiguration(index, membersOf(t, voters), membersOf(t, outgoing), membersOf(t, learners))
}

// membersOf reads ids, as in n1+n2. The data directory of n2 is 12, and so on, that of n2* is 92; n2' is at another address.
func membersOf(t *testing.T, text string) (members []Member) {
	t.Helper()
	for _, id := range strings.FieldsFunc(text, func(r rune) bool { return r == '+' }) {
		id, moved := strings.CutSuffix(id, "'")
		id, wiped := strings.CutSuffix(id, "*")
		n, err := strconv.ParseUint(strings.TrimPrefix(id, "n"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		m := Member{ID: id, Address: id + choose(moved, ":2", ":1"), StoreID: 10 + n}
		if wiped {
			m.StoreID += 80
		}
		members = append(members, m)
	}
	return members
}

// membersIn is what membersOf reads.
func membersIn(c *Configuration) string {
	named := func(members []Member) string {
		var names []string
		for _, m := range members {
			names = append(names, m.ID+choose(strings.HasSuffix(m.Address, ":2"), "'", ""))
		}
		return strings.Join(names, "+")
	}
	return named(c.Voters) + choose(c.joint(), "-"+named(c.Outgoing), "") + choose(len(c.Learners) > 0, "/"+named(c.Learners), "")
}

// foundingOf77 founds cluster 77, in which the data directory of n2 is 12, and so on.
func foundingOf77(t *testing.T, of int) []byte {
	t.Helper()
	members := testMembers(of)
	for i := range members {
		members[i].StoreID = uint64(11 + i)
	}
	return encode(&messages.Founding{ClusterId: 77, Configuration: newConfiguration(1, members, nil, nil).encoded(), Level: 1})
}

func (c script) disk(group persistence.GroupID) *persistence.Batch {
	b := &persistence.Batch{Group: group, Sync: true}
	if c.has("log") {
		b.PinnedPeers = map[string]uint64{"n2": 12, "n3": 13, "n4": 14, "n5": 15}
	}
	b.First, b.Entries = c.entries("log")
	b.HardState = persistence.HardState{
		Term: c.number("term", 0), Vote: c.text("vote", ""), Commit: c.number("commit", 0), ClusterID: c.number("cluster", 0),
		Promise: c.duration("promise"),
	}
	return b
}

func (c script) header(term uint64) *messages.Header {
	from := c.text("from", "")
	return &messages.Header{
		ClusterId: c.number("cluster", 0), Group: c.text("group", "g"), From: from, To: c.text("to", "n1"),
		StoreId: c.number("store", 10+c.parse(strings.TrimLeft(from, "nx"))), Term: c.number("term", term), ToStoreId: c.number("known", 0),
		Level: uint32(c.number("level", messages.LevelFirst)),
	}
}

func (c script) appendEntries() *messages.AppendEntries {
	m := &messages.AppendEntries{
		Header: c.header(0), LeaderCommit: c.number("commit", 0), Round: c.number("round", 0), ClientAddress: c.text("client", ""),
		LeaseMs: uint64(c.duration("promise").Milliseconds()),
	}
	m.PrevLogIndex, m.PrevLogTerm = c.entry("prev")
	_, m.Entries = c.entries("entries")
	return m
}

func (c script) requestVote() *messages.RequestVote {
	m := &messages.RequestVote{Header: c.header(0), PreVote: c.has("pre"), Round: c.number("round", 0)}
	m.LastLogIndex, m.LastLogTerm = c.entry("last")
	m.Transfer, m.ConfigurationIndex = c.has("transfer"), c.number("configuration", 1)
	return m
}
