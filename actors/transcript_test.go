package actors

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// TestTranscripts plays testdata: messages to one server (n1), what it says in return, and its state where that changed. The
// scripts stand for its peers; time and the disk move only when a script says so.
//
//	server of=3 [term=2 vote=n2 log=1@1,2@2 commit=1]   a fresh server, with this on its disk; [stall=1s]: its DiskStall;
//	    [level=2]: the newest feature level that it knows, and with which a peer sends a message
//	    entries: 3@2:level=2 raises the feature level, 3@2:members=n1+n2-n1+n3/n4 is a configuration, with outgoing voters and learners,
//	    3@2:kind=9 is of an unknown kind, 3@2:alone=n1 lets cluster 88 begin with n1 alone
//	append from=n2 term=2 prev=1@1 [entries=2@2] [commit=1] [round=1] [store=..] [cluster=..] [to=..] [group=..]
//	    store: the data directory that it comes from; known: the one that its sender knows n1 by
//	vote from=n2 term=2 last=2@2 [pre] [transfer] [round=7] [configuration=1]    a RequestVote
//	voted from=n2 [term=2] [refused] [pre] [removed=INDEX] [round=..]   its reply; the round of the last request, unless given
//	timeoutnow from=n2 term=2 [round=..]                the leader hands over to n1
//	handover [to=n2]                                    n1 is to hand over
//	ack from=n2 match=3 [round=..] [term=..]            an AppendEntriesReply to the replicator of n2
//	refuse from=n2 conflict=3@1 [term=..]
//	contact from=n2 match=3 [round=..] [term=..]        what the replicator of n2 mails to its server, however late
//	change n1+n2/n4 [base=3]                            members are to be voters n1 and n2, and the learner n4; [cluster=99]: as a member
//	    asks for it that smuggles a cluster id in
//	propose x y | query                                 callers at the door
//	sync                                                the disk finishes all that was written
//	wait 100ms | pause 3s                               time passes; pause: and nothing is handled meanwhile
//	ready                                               whether the server can serve, or why not
//	lost n2                                             the connection to n2 broke
//	disk fails
//
// Go test -rewrite writes the expectations: read the difference before you believe it.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			var s *stage
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				if d.Cmd == "server" {
					s = newStage(t, d)
				} else {
					s.play(t, d)
				}
				return s.takeSaid()
			})
		})
	}
}

// stage is one server whose surroundings are scripted. Everything runs on the test's goroutine.
type stage struct {
	of     int
	system *actor.ActorSystem
	clock  *manualClock
	server *server
	door   *Door
	work   []func()
	said   []string
	state  string

	voteRound, appendRound uint64
	replicators            map[string]*actor.PID
}

func newStage(t *testing.T, d *datadriven.TestData) *stage {
	of := int(script{t, d, 0}.number("of", 1))
	s := &stage{of: of, replicators: map[string]*actor.PID{}}
	s.system = silentSystem()
	s.system.ProcessRegistry.Address = "n1:1"
	s.system.ProcessRegistry.RegisterAddressResolver(func(*actor.PID) (actor.Process, bool) { return listener{s}, true })
	s.clock = &manualClock{now: time.Unix(1000, 0), root: s.system.Root}

	store, err := persistence.Open("data", persistence.Options{
		FS: vfs.NewMem(), NodeID: "n1", Cluster: "test", StoreID: 11, MemTableSize: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	record, err := store.Group("g", []*messages.Member{{Id: "n1", Address: "n1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	number := persistence.GroupID(record.Number)
	if err := store.Write([]*persistence.Batch{script{t, d, of}.disk(number)}); err != nil {
		t.Fatal(err)
	}
	same := actor.WithDispatcher(actor.NewSynchronizedDispatcher(1000))
	later := func(work func()) { s.work = append(s.work, work) }
	shared, err := StartShared(s.system.Root, SharedConfig{
		Store: store, Clock: s.clock, Write: later, Run: later, Broken: func(err error) { t.Error(err) },
	}, same)
	if err != nil {
		t.Fatal(err)
	}
	stall, err := time.ParseDuration(script{t, d, of}.text("stall", "10s"))
	if err != nil {
		t.Fatal(err)
	}
	s.door, err = Start(s.system.Root, Config{
		Group: "g", ID: "n1", Members: testMembers(of), ClientAddress: "n1:client", Machine: &register{},
		Shared: shared, Number: number, Clock: s.clock, Seed: 1, Level: uint32(script{t, d, of}.number("level", messages.LevelFirst)),
		Timing: Timing{DiskStall: stall},
		Logger: slog.New(slog.NewTextHandler(complaints{s}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Props: []actor.PropsOption{same, actor.WithOnInit(func(ctx actor.Context) {
			if server, ok := ctx.Actor().(*server); ok {
				s.server = server
			}
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// complaints shows the messages of warnings and errors in the transcript.
type complaints struct{ s *stage }

func (c complaints) Write(line []byte) (int, error) {
	_, rest, _ := strings.Cut(string(line), "level=")
	rest, _, _ = strings.Cut(rest, " node=")
	c.s.say("log: %s", strings.TrimSpace(rest))
	return len(line), nil
}

func (s *stage) say(format string, args ...any) {
	s.said = append(s.said, fmt.Sprintf(format, args...))
}

// takeSaid is what the server said since the last time, and its state if that changed.
func (s *stage) takeSaid() string {
	if now := s.describe(); now != s.state {
		s.state = now
		s.say("%s", now)
	}
	said := strings.Join(s.said, "\n")
	s.said = nil
	return said
}

func (s *stage) describe() string {
	v := s.server
	var b strings.Builder
	fmt.Fprintf(&b, "%v term=%d", v.role.kind(), v.currentTerm)
	if v.votedFor != "" {
		fmt.Fprintf(&b, " vote=%s", v.votedFor)
	}
	if f, ok := v.role.(*follower); ok && f.leader != "" {
		fmt.Fprintf(&b, " leader=%s", f.leader)
	}
	b.WriteString(" log=")
	for i := v.log.compacted + 1; i <= v.log.last; i++ {
		if i > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d@%d", i, v.log.term(i))
	}
	if c := v.configuration(); c.Index > 1 {
		fmt.Fprintf(&b, " members=%s", membersIn(c))
	}
	b.WriteString(choose(v.clusterID == 88, " cluster=88", ""))
	fmt.Fprintf(&b, " durable=%d commit=%d applied=%d", v.outbox.durable, v.commitIndex, v.lastApplied)
	return b.String()
}

// listener is every other node: it writes down what is sent there.
type listener struct{ s *stage }

func (l listener) SendUserMessage(pid *actor.PID, message any) {
	to, _, _ := strings.Cut(pid.Address, ":")
	_, m, sender := actor.UnwrapEnvelope(message)
	switch m := m.(type) {
	case *messages.RequestVote:
		l.s.voteRound = m.Round
		l.s.say("%s <- %s term=%d last=%d@%d%s", to, preVote("RequestVote", m.PreVote), m.Header.Term, m.LastLogIndex, m.LastLogTerm,
			choose(m.Transfer, " transfer", ""))
	case *messages.RequestVoteReply:
		l.s.say("%s <- %s term=%d %s%s", to, preVote("RequestVoteReply", m.PreVote), m.Header.Term,
			choose(m.Granted, "granted", "refused"), choose(m.Removed > 0, fmt.Sprintf(" removed=%d", m.Removed), ""))
	case *messages.TimeoutNow:
		l.s.say("%s <- TimeoutNow term=%d", to, m.Header.Term)
	case *messages.AppendEntries:
		l.s.appendRound = m.Round
		l.s.replicators[to] = sender
		l.s.say("%s <- AppendEntries term=%d prev=%d@%d%s commit=%d%s", to, m.Header.Term, m.PrevLogIndex, m.PrevLogTerm,
			describeEntries(m), m.LeaderCommit, choose(m.LeaseMs > 0, fmt.Sprintf(" promise=%dms", m.LeaseMs), ""))
	case *messages.AppendEntriesReply:
		switch {
		case m.Error != "":
			l.s.say("%s <- AppendEntriesReply term=%d error=%q", to, m.Header.Term, m.Error)
		case m.Success:
			l.s.say("%s <- AppendEntriesReply term=%d success match=%d round=%d%s",
				m.Header.To, m.Header.Term, m.MatchIndex, m.Round, choose(m.Promised, " promised", ""))
		default:
			l.s.say("%s <- AppendEntriesReply term=%d refused conflict=%d@%d", to, m.Header.Term, m.ConflictIndex, m.ConflictTerm)
		}
	}
}

func (l listener) SendSystemMessage(*actor.PID, any) {}
func (l listener) Stop(*actor.PID)                   {}

func preVote(name string, pre bool) string { return choose(pre, "pre-", "") + name }

func choose(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}

func describeEntries(m *messages.AppendEntries) string {
	var all []string
	for i, encoded := range m.Entries {
		e, err := messages.DecodeEntry(encoded)
		if err != nil {
			return err.Error()
		}
		text := fmt.Sprintf("%d@%d", m.PrevLogIndex+1+uint64(i), e.Term)
		if e.Kind == messages.Entry_KIND_LEVEL {
			var l messages.FeatureLevel
			_ = proto.Unmarshal(e.Data, &l)
			text += fmt.Sprintf(":level=%d", l.Level)
		}
		if e.Kind == messages.Entry_KIND_CONFIGURATION {
			var m messages.Configuration
			_ = proto.Unmarshal(e.Data, &m)
			text += ":members=" + membersIn(decodeConfiguration(&m))
			text += choose(m.ClusterId > 0, fmt.Sprintf(":cluster=%d", m.ClusterId), "")
		}
		all = append(all, text)
	}
	return choose(len(all) > 0, " entries="+strings.Join(all, ","), "")
}

// manualClock fires when the script says so.
type manualClock struct {
	now    time.Time
	root   *actor.RootContext
	timers []timer
}

type timer struct {
	due     time.Time
	target  *actor.PID
	message any
}

func (c *manualClock) Now() time.Time { return c.now }

func (c *manualClock) SinceBoot() time.Duration { return c.now.Sub(time.Unix(0, 0)) }

func (c *manualClock) After(d time.Duration, target *actor.PID, message any) {
	c.timers = append(c.timers, timer{c.now.Add(d), target, message})
}

// advance fires what becomes due, in order.
func (c *manualClock) advance(d time.Duration) {
	end := c.now.Add(d)
	for {
		slices.SortStableFunc(c.timers, func(a, b timer) int { return a.due.Compare(b.due) })
		if len(c.timers) == 0 || c.timers[0].due.After(end) {
			break
		}
		t := c.timers[0]
		c.timers = c.timers[1:]
		if t.due.After(c.now) {
			c.now = t.due
		}
		c.root.Send(t.target, t.message)
	}
	c.now = end
}

// witness is a caller who writes down the answer.
type witness struct {
	s    *stage
	what string
}

func (w witness) Answer(a Answer) {
	if a.Err != nil {
		w.s.say("%s: %v", w.what, a.Err)
		return
	}
	w.s.say("%s: %q", w.what, a.Value)
}

func (s *stage) play(t *testing.T, d *datadriven.TestData) {
	c := script{t, d, s.of}
	root, server := s.system.Root, s.door.PID()
	switch d.Cmd {
	case "append":
		root.RequestWithCustomSender(server, sealed(c.appendEntries()), actor.NewPID(c.text("from", "")+":1", "raft/g/replicator"))
	case "vote":
		root.RequestWithCustomSender(server, sealed(c.requestVote()), actor.NewPID(c.text("from", "")+":1", "raft/g"))
	case "voted":
		root.Send(server, sealed(&messages.RequestVoteReply{
			Header: c.header(s.server.currentTerm), PreVote: c.has("pre"), Granted: !c.has("refused"),
			Round: c.number("round", s.voteRound), Removed: c.number("removed", 0),
		}))
	case "timeoutnow":
		root.Send(server, sealed(&messages.TimeoutNow{Header: c.header(0), Round: c.number("round", 0)}))
	case "handover":
		s.door.HandOver(c.text("to", ""), witness{s, d.Cmd})
	case "ack", "refuse":
		index, term := c.entry("conflict")
		root.Send(s.replicators[c.text("from", "")], sealed(&messages.AppendEntriesReply{
			Header: c.header(s.server.currentTerm), Success: d.Cmd == "ack", MatchIndex: c.number("match", 0),
			Round: c.number("round", s.appendRound), ConflictIndex: index, ConflictTerm: term, Promised: c.has("promised"),
		}))
	case "contact":
		header := c.header(s.server.currentTerm)
		root.Send(server, &contact{header: header, round: c.number("round", s.appendRound), match: c.number("match", 0)})
	case "propose":
		for _, arg := range d.CmdArgs {
			s.door.Propose([]byte(arg.Key), witness{s, "propose " + arg.Key})
		}
	case "change":
		s.change(c, configurationOf(t, 0, d.CmdArgs[0].Key))
	case "query":
		how := Read{Consistency: Linearizable}
		if c.has("lease") {
			how.Consistency = Lease
		}
		s.door.Read(how, nil, witness{s, "query"})
	case "sync":
		s.sync()
	case "wait", "pause":
		duration, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		if d.Cmd == "pause" {
			s.clock.now = s.clock.now.Add(duration)
			duration = 0
		}
		s.clock.advance(duration)
	case "ready":
		if err := s.door.Status().Unready; err != nil {
			s.say("%v", err)
		} else {
			s.say("ready")
		}
	case "lost":
		s.door.LeaderLost(d.CmdArgs[0].Key + ":1")
	case "connected":
		s.door.PeerConnected(d.CmdArgs[0].Key + ":1")
	case "disk":
		s.door.StorageFailed(fmt.Errorf("input/output error"))
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
}

// sync does all work of the disk.
func (s *stage) sync() {
	for len(s.work) > 0 {
		work := s.work[0]
		s.work = s.work[1:]
		work()
	}
}

func sealed[M rpc](m M) M {
	m.Seal()
	return m
}

func (s *stage) change(c script, wanted *Configuration) {
	if c.has("cluster") {
		m := wanted.encoded()
		m.ClusterId = c.number("cluster", 0)
		s.door.propose(proposal{kind: messages.Entry_KIND_CONFIGURATION, data: encode(m), caller: witness{s, c.d.Cmd}})
		return
	}
	s.door.Reconfigure(Change{c.number("base", 0), wanted.Voters, wanted.Learners}, witness{s, c.d.Cmd})
}
