package actors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/datadriven"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// Directed tests of one server or replicator, from the bugs in cluster/simulation/CATALOGUE.md.

func parsed(t *testing.T, line string) *datadriven.TestData {
	t.Helper()
	command, args, err := datadriven.ParseLine(line)
	if err != nil {
		t.Fatal(err)
	}
	return &datadriven.TestData{Pos: line, Cmd: command, CmdArgs: args}
}

// run plays lines of a transcript, and returns what was said; not the state, since a long log takes long to describe.
func (s *stage) run(t *testing.T, lines ...string) string {
	t.Helper()
	for _, line := range lines {
		s.play(t, parsed(t, line))
	}
	said := strings.Join(s.said, "\n")
	s.said = nil
	return said
}

// lead makes n1 the leader of a new term.
func (s *stage) lead(t *testing.T) {
	t.Helper()
	s.run(t, "wait 1s", "voted from=n2 pre", "sync", "voted from=n2", "sync")
	if s.server.role.kind() != Leader {
		t.Fatal(s.describe())
	}
}

// leaderStage is a leader of term 2, whose log is 1@1,2@2, and its replicators by follower.
func leaderStage(t *testing.T, limits Limits) (*stage, map[string]*replicator) {
	t.Helper()
	s := newStage(t, parsed(t, "server of=3 term=1 log=1@1"))
	limits.setDefaults()
	s.server.c.Limits, s.door.limits = limits, limits
	replicators := map[string]*replicator{}
	s.server.c.Props = append(s.server.c.Props, actor.WithOnInit(func(ctx actor.Context) {
		if r, ok := ctx.Actor().(*replicator); ok {
			replicators[r.to] = r
		}
	}))
	s.lead(t)
	return s, replicators
}

// F-01 Whatever is lost, refused and acknowledged, in whatever state: what counts as in flight is what is, and it has an end.
func TestWhatIsInFlightIsCountedRight(t *testing.T) {
	limits := Limits{InflightMessages: 4, InflightBytes: 40, MessageBytes: 20}
	s, replicators := leaderStage(t, limits)
	r, rng, has, full := replicators["n2"], rand.New(rand.NewPCG(1, 1)), uint64(1), 0
	check := func() {
		t.Helper()
		sum := 0
		for _, m := range r.inflight.sent {
			sum += m.bytes
		}
		last := s.server.log.last
		tooMuch := len(r.inflight.sent) > limits.InflightMessages || sum > limits.InflightBytes+limits.MessageBytes
		if sum != r.inflight.bytes || tooMuch || r.nextIndex > last+1 {
			t.Fatalf("%+v, of %+v", r.inflight, s.server.log.last)
		}
		if !r.inflight.open(s.server.c.Limits) {
			full++
		}
	}
	for i := range 2000 {
		switch rng.IntN(5) {
		case 0, 1:
			s.run(t, fmt.Sprintf("propose %d", i))
		case 2: // some of what was sent arrives, the rest is lost
			has += rng.Uint64N(max(r.nextIndex, has+1) - has)
			s.run(t, "sync", fmt.Sprintf("ack from=n2 match=%d", has))
		default: // a heartbeat shows what was lost
			s.run(t, "wait 100ms")
			if r.nextIndex-1 > has {
				s.run(t, fmt.Sprintf("refuse from=n2 conflict=%d@%d", has, s.server.log.term(has)))
				if len(r.inflight.sent) != 0 {
					t.Fatalf("what was lost still counts: %+v", r.inflight)
				}
			} else {
				s.run(t, fmt.Sprintf("ack from=n2 match=%d", has))
			}
		}
		check()
	}
	for range 4000 {
		has = max(has, r.nextIndex-1)
		s.run(t, "wait 100ms", fmt.Sprintf("ack from=n2 match=%d", has))
		check()
	}
	if has != s.server.log.last || len(r.inflight.sent) != 0 || full < 50 || s.server.role.kind() != Leader {
		t.Fatalf("has %d of %d, window %+v, which was full %d times", has, s.server.log.last, r.inflight, full)
	}
}

// F-02 What was admitted is given back, however it ends: applied, refused, too large, overloaded, or unknown to a deposed leader.
func TestWhatWasAdmittedIsGivenBack(t *testing.T) {
	s, _ := leaderStage(t, Limits{AdmittedCommands: 300, AdmittedBytes: 1000, EntryBytes: 50})
	kinds := map[string]int{}
	count := func(said string) {
		for _, what := range []string{"overloaded", "too large", "outcome is unknown", "no leader", `: "`} {
			kinds[what] += strings.Count(said, what)
		}
	}
	confirm := func() {
		t.Helper()
		all := fmt.Sprintf("ack from=n2 match=%d", s.server.log.last)
		count(s.run(t, "ack from=n2 match=1", "sync", all, "wait 100ms", "ack from=n2 match=1"))
	}
	for round := range 60 {
		for i := range 400 {
			count(s.run(t, fmt.Sprintf("propose %d.%d", round, i)))
		}
		count(s.run(t, "propose "+strings.Repeat("x", 51), "query", "change /n4"))
		switch round % 3 {
		case 0:
			confirm()
		case 1:
			count(s.run(t, fmt.Sprintf("ack from=n2 match=0 term=%d", s.server.currentTerm+1), "propose y", "query", "sync"))
		default:
			next := s.server.currentTerm + 1
			count(s.run(t, fmt.Sprintf("append from=n3 term=%d prev=1@1 entries=2@%d", next, next), "propose y", "sync"))
		}
		if s.server.role.kind() != Leader {
			s.lead(t)
		}
		nobodyWaits := len(s.server.waiters) == 0 && len(s.server.role.(*leader).reads.waiting) == 0
		if c, b := s.door.admittedCommands.Load(), s.door.admittedBytes.Load(); nobodyWaits && (c != 0 || b != 0) {
			t.Fatalf("round %d: %d commands of %d bytes are not given back", round, c, b)
		}
	}
	confirm()
	if c, b := s.door.admittedCommands.Load(), s.door.admittedBytes.Load(); c != 0 || b != 0 {
		t.Fatalf("%d commands of %d bytes are not given back", c, b)
	}
	for what, n := range kinds {
		if n < 20 {
			t.Errorf("%q was answered %d times", what, n)
		}
	}
}

// F-04, F-05 An entry just below, at, just above and far above the size of a message, from memory and from the store: each message
// has an entry at least, and one that is too large has no more.
func TestEntriesOfAllSizesAreSent(t *testing.T) {
	const limit = 100
	for name, tail := range map[string]int{"from memory": 1 << 20, "from the store": 1} {
		t.Run(name, func(t *testing.T) {
			s, replicators := leaderStage(t, Limits{MessageBytes: limit, EntryBytes: 10 * limit, TailBytes: tail})
			sizes := []int{0, 0, 0}
			for _, size := range []int{limit - 1, limit, limit + 1, 10 * limit, 30, 30, 30, 30, limit + 1} {
				command := strings.Repeat("x", size)
				for len(messages.EncodeEntry(2, messages.Entry_KIND_COMMAND, []byte(command))) > size {
					command = command[1:]
				}
				s.door.Propose([]byte(command), witness{s, "put"})
				sizes = append(sizes, size)
			}
			s.run(t, "sync")
			if cached := s.server.log.tailFirst <= 2; cached != (tail > 1) {
				t.Fatalf("the tail begins at %d", s.server.log.tailFirst)
			}
			said := s.run(t, "ack from=n2 match=1", fmt.Sprintf("ack from=n2 match=%d", s.server.log.last))
			next := uint64(2)
			for _, line := range strings.Split(said, "\n") {
				_, entries, sent := strings.Cut(line, " entries=")
				if !sent {
					continue
				}
				bytes, all := 0, strings.Split(strings.Fields(entries)[0], ",")
				for _, entry := range all {
					if entry != fmt.Sprintf("%d@2", next) {
						t.Fatalf("%s, but %d is next", line, next)
					}
					bytes += sizes[next]
					next++
				}
				if len(all) > 1 && bytes > limit {
					t.Errorf("%d bytes: %s", bytes, line)
				}
			}
			if next != s.server.log.last+1 || replicators["n2"].nextIndex != next || s.server.commitIndex != s.server.log.last {
				t.Fatalf("%d is next, of %s", next, s.describe())
			}
			s.door.Propose(make([]byte, 10*limit+1), witness{s, "put"})
			if said := s.takeSaid(); !strings.Contains(said, ErrTooLarge.Error()) {
				t.Fatal(said)
			}
		})
	}
}

// F-07 A leader keeps a bounded tail, and a bounded window for a follower that never answers.
func TestAFollowerThatHangsCostsBoundedMemory(t *testing.T) {
	limits := Limits{TailBytes: 500, InflightMessages: 5, MessageBytes: 50}
	s, replicators := leaderStage(t, limits)
	s.run(t, "ack from=n2 match=1", "ack from=n3 match=1") // and n3 hangs
	for i := range 3000 {
		s.run(t, fmt.Sprintf("propose %d", i), "sync")
		s.run(t, fmt.Sprintf("ack from=n2 match=%d", s.server.log.last))
		if i%10 == 0 {
			s.run(t, "wait 50ms", fmt.Sprintf("ack from=n2 match=%d", s.server.log.last))
		}
		l, inflight := &s.server.log, len(replicators["n3"].inflight.sent)
		if l.tailBytes > limits.TailBytes || len(l.tail) > 100 || inflight > limits.InflightMessages {
			t.Fatalf("a tail of %d entries, %d bytes; %d messages in flight", len(l.tail), l.tailBytes, inflight)
		}
	}
	if s.server.commitIndex != s.server.log.last || s.server.commitIndex < 3000 {
		t.Fatalf("%d of %d entries are committed", s.server.commitIndex, s.server.log.last)
	}
}

// F-07 A follower whose state machine stands still goes on acknowledging, with a bounded tail, and hands over one batch.
func TestAMachineThatStandsStillCostsBoundedMemory(t *testing.T) {
	s := newStage(t, parsed(t, "server of=3 term=1 log=1@1"))
	s.run(t, "append from=n2 term=1 prev=1@1 commit=1 round=1")
	s.server.c.Limits.TailBytes, s.server.c.Limits.ApplyEntries = 500, 10
	s.server.machine = actor.NewPID("n1:1", "nobody")
	for i := uint64(1); i < 3000; i++ {
		commit := i
		if i < 40 {
			commit = 0 // and then all at once
		}
		said := s.run(t, fmt.Sprintf("append from=n2 term=1 prev=%d@1 entries=%d@1 commit=%d round=%d", i, i+1, commit, i), "sync")
		if want := fmt.Sprintf("success match=%d ", i+1); !strings.Contains(said, want) {
			t.Fatalf("%s does not acknowledge %s", said, want)
		}
		if l := &s.server.log; l.tailBytes > 500 || s.server.lastApplied > 1 {
			t.Fatalf("a tail of %d bytes, %d applied", l.tailBytes, s.server.lastApplied)
		}
		if commit > 0 && len(s.server.handed.entries) != 10 {
			t.Fatalf("%d entries are handed over", len(s.server.handed.entries))
		}
	}
}

// headerFromN2 is that of a message from n2 to n1.
func headerFromN2(term uint64) *messages.Header {
	return &messages.Header{ClusterId: 0, Group: "g", From: "n2", To: "n1", StoreId: 12, Term: term, Level: messages.Level}
}

// replicatorOfN2 is new each time: a PID remembers the actor system that resolved it.
func replicatorOfN2() *actor.PID { return actor.NewPID("n2:1", "raft/g/replicator") }

const damagedSaid = `log: WARN msg="a damaged message is dropped"`

// N-04 Any bit flipped, any end missing, any length in it far too long: dropped, and nothing changes.
func TestADamagedMessageChangesNothing(t *testing.T) {
	follower := newStage(t, parsed(t, "server of=3 term=2 log=1@1,2@2"))
	candidate := newStage(t, parsed(t, "server of=3 term=2 log=1@1,2@2"))
	candidate.run(t, "wait 1s")
	leads, replicators := leaderStage(t, Limits{})
	header := headerFromN2
	entries := [][]byte{
		messages.EncodeEntry(3, messages.Entry_KIND_COMMAND, []byte("abc")),
		messages.EncodeEntry(3, messages.Entry_KIND_NOOP, nil),
	}
	replicatorOf := func(s *stage) *actor.PID { return s.replicators["n2"] }
	server := func(s *stage) *actor.PID { return s.door.PID() }
	const old = `log: WARN msg="a member runs an old build of troupe, from before the first release, ` +
		`and is ignored: start a newer one there"`
	for _, c := range []struct {
		s  *stage
		to func(*stage) *actor.PID
		m  rpc
	}{
		{follower, server, &messages.RequestVote{Header: header(3), LastLogIndex: 9, LastLogTerm: 2, Round: 1}},
		{follower, server, &messages.RequestVote{Header: header(2), PreVote: true, LastLogIndex: 9, LastLogTerm: 2, Round: 1}},
		{follower, server, &messages.AppendEntries{
			Header: header(3), PrevLogIndex: 2, PrevLogTerm: 2, LeaderCommit: 3, Round: 7, Entries: entries,
		}},
		{follower, server, &messages.AppendEntries{Header: header(3), PrevLogIndex: 2, PrevLogTerm: 2, ClientAddress: "n2:client"}},
		{candidate, server, &messages.RequestVoteReply{Header: header(2), PreVote: true, Granted: true, Round: candidate.voteRound}},
		{candidate, server, &messages.RequestVoteReply{Header: header(9), PreVote: true, Round: candidate.voteRound}},
		{leads, replicatorOf, &messages.AppendEntriesReply{Header: header(2), Success: true, MatchIndex: 1, Round: 1}},
		{leads, replicatorOf, &messages.AppendEntriesReply{Header: header(9)}},
		{leads, replicatorOf, &messages.AppendEntriesReply{Header: header(2), ConflictIndex: 1, ConflictTerm: 1, Round: 1}},
	} {
		c.s.takeSaid()
		before := *replicators["n2"]
		eachDamage(t, c.m, func(what string, m rpc) {
			t.Helper()
			c.s.system.Root.RequestWithCustomSender(c.to(c.s), m, replicatorOfN2())
			said := strings.NewReplacer(damagedSaid, "", old, "").Replace(c.s.takeSaid())
			after := replicators["n2"]
			changed := after.nextIndex != before.nextIndex || after.matchIndex != before.matchIndex ||
				after.answered != before.answered || after.mode != before.mode
			if strings.TrimSpace(said) != "" || changed {
				t.Fatalf("%T, %s: %s", c.m, what, said)
			}
		})
	}
}

// eachDamage calls arrives with all that m may become on the way and still be decoded.
func eachDamage(t *testing.T, m rpc, arrives func(what string, m rpc)) {
	t.Helper()
	m.Seal()
	original := m.(proto.Message)
	whole, err := proto.MarshalOptions{Deterministic: true}.Marshal(original)
	if err != nil {
		t.Fatal(err)
	}
	travels := func(what string, encoded []byte) {
		t.Helper()
		m := original.ProtoReflect().New().Interface()
		if proto.Unmarshal(encoded, m) == nil && !proto.Equal(m, original) {
			arrives(what, m.(rpc))
		}
	}
	for bit := range 8 * len(whole) {
		damaged := bytes.Clone(whole)
		damaged[bit/8] ^= 1 << (bit % 8)
		travels(fmt.Sprintf("bit %d", bit), damaged)
	}
	for n := range whole {
		travels(fmt.Sprintf("%d bytes", n), whole[:n])
	}
	for _, length := range []uint64{1 << 31, 1 << 32, 1 << 63, 1<<64 - 1} {
		// The header, and whatever else has a length, claims to be that long.
		for field := protowire.Number(1); field < 16; field++ {
			long := binary.AppendUvarint(protowire.AppendTag(bytes.Clone(whole), field, protowire.BytesType), length)
			travels(fmt.Sprintf("a length of %d", length), append(long, 1, 2, 3))
		}
	}
}

// N-04 Whole, but nonsense: entries that are none, and those of no known kind.
func TestNonsenseForAnEntryChangesNothing(t *testing.T) {
	s := newStage(t, parsed(t, "server of=3 term=2 log=1@1,2@2"))
	s.takeSaid()
	noop := messages.EncodeEntry(3, messages.Entry_KIND_NOOP, nil)
	for _, entry := range [][]byte{
		{},
		{0xff},
		{0x1a, 0xff, 0xff, 0xff, 0xff, 0x07},
		binary.AppendUvarint([]byte{0x1a}, 1<<63),
		messages.EncodeEntry(2, 9, nil),
	} {
		m := &messages.AppendEntries{
			Header: headerFromN2(2), PrevLogIndex: 2, PrevLogTerm: 2, Round: 1, Entries: [][]byte{noop, entry},
		}
		m.Seal()
		s.system.Root.RequestWithCustomSender(s.door.PID(), m, replicatorOfN2())
		if said := s.takeSaid(); strings.TrimSpace(strings.ReplaceAll(said, damagedSaid, "")) != "" {
			t.Fatalf("%x: %s", entry, said)
		}
	}
}

func TestLimitsThatContradictEachOtherAreRefused(t *testing.T) {
	s := newStage(t, parsed(t, "server of=3 term=1 log=1@1"))
	for _, limits := range []Limits{{AdmittedBytes: 1 << 10}, {AdmittedBytes: 1 << 30}, {EntryBytes: 65 << 20}, {ApplyBytes: -1}} {
		c := *s.server.c
		c.Group, c.Limits = "h", limits
		if _, err := Start(s.system.Root, c); err == nil || !strings.Contains(err.Error(), "limit") {
			t.Errorf("%+v: %v", limits, err)
		}
	}
}

// O-08 A configuration that is empty, or lacks the node itself, starts nothing.
func TestAnEmptyConfigurationNeverLeads(t *testing.T) {
	s := newStage(t, parsed(t, "server of=3 term=1 log=1@1"))
	for _, members := range [][]Member{nil, {}, {{ID: "n2", Address: "n2:1"}}, {{ID: "n1"}}, append(testMembers(3), testMembers(1)...)} {
		c := *s.server.c
		c.Group, c.Members = "h", members
		if _, err := Start(s.system.Root, c); err == nil {
			t.Fatalf("a server of %v was started", members)
		}
	}
}

// A follower whose disk stands still takes a bounded amount from a leader that does not keep to its window, and goes on after the sync.
func TestALeaderThatFloodsCostsBoundedMemory(t *testing.T) {
	s := newStage(t, parsed(t, "server of=3 term=1 log=1@1"))
	limits := &s.server.c.Limits
	limits.TailBytes, limits.InflightBytes = 500, 50
	flood := func() {
		for range 1000 {
			last := s.server.log.last
			s.run(t, fmt.Sprintf("append from=n2 term=1 prev=%d@1 entries=%d@1 round=1", last, last+1))
		}
	}
	flood()
	reached := s.server.log.last
	if bytes := s.server.log.tailBytes; bytes > limits.TailBytes+8*limits.InflightBytes+100 || reached > 900 {
		t.Fatalf("%d entries, %d bytes", reached, bytes)
	}
	s.run(t, "sync", "sync")
	flood()
	if s.server.log.last == reached {
		t.Fatal("nothing more was taken after the sync")
	}
}
