package actors

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
)

// answers is a caller that keeps all it is told.
type answers struct {
	mu  sync.Mutex
	got []Answer
}

func (a *answers) Answer(got Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, got)
}

func (a *answers) all() []Answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.got)
}

// moody is a state machine whose queries may wait or panic.
type moody struct {
	register
	entered, leave chan struct{}
}

func newMoody() *moody {
	return &moody{entered: make(chan struct{}), leave: make(chan struct{})}
}

func (m *moody) Query(ctx context.Context, query []byte) ([]byte, error) {
	switch string(query) {
	case "slow":
		m.entered <- struct{}{}
		<-m.leave
	case "panic":
		panic("a query that panics")
	}
	return m.register.Query(ctx, query)
}

// alone starts a group of one member with the state machine, and waits until it leads.
func alone(t *testing.T, m StateMachine) *testNode {
	t.Helper()
	n := restarted(t, func(c *Config) { c.Machine = m })
	leaderOf(t, []*testNode{n})
	eventually(t, "all is applied", func() bool { s := n.door.Status(); return s.AppliedIndex == s.LastIndex })
	return n
}

// restarted is a lone member that is started again with another configuration.
func restarted(t *testing.T, change func(*Config)) *testNode {
	t.Helper()
	_, nodes := startNetwork(t, 1)
	leaderOf(t, nodes)
	nodes[0].restart(func(c *Config) {
		c.Machine = newMoody()
		change(c)
	})
	return nodes[0]
}

// wantOnce demands that every caller gets one answer, and that nothing stays admitted.
func wantOnce(t *testing.T, d *Door, callers ...*answers) {
	t.Helper()
	eventually(t, "every caller is answered", func() bool {
		return !slices.ContainsFunc(callers, func(c *answers) bool { return len(c.all()) == 0 })
	})
	eventually(t, "nothing is admitted any more", func() bool {
		return d.admittedCommands.Load() == 0 && d.admittedBytes.Load() == 0
	})
	for i, c := range callers {
		if all := c.all(); len(all) != 1 {
			t.Errorf("caller %d is answered %d times: %v", i, len(all), all)
		}
	}
}

func newCallers(n int) []*answers {
	callers := make([]*answers, n)
	for i := range callers {
		callers[i] = &answers{}
	}
	return callers
}

func TestReadsInTheMachinesMailboxAreAnsweredWhenTheServerStops(t *testing.T) {
	m := newMoody()
	n, c := alone(t, m), newCallers(4)
	n.door.QueryStale([]byte("slow"), c[0])
	<-m.entered
	n.door.QueryStale([]byte("x"), c[1])
	n.door.Query([]byte("x"), c[2])
	n.door.Query([]byte("x"), c[3])
	stopped := n.system.Root.StopFuture(n.door.PID())
	eventually(t, "the door is closed", func() bool { return n.door.refusal() != nil })
	close(m.leave)
	if err := stopped.Wait(); err != nil {
		t.Fatal(err)
	}
	wantOnce(t, n.door, c...)
	late := &answers{}
	n.door.QueryStale([]byte("x"), late)
	wantOnce(t, n.door, late)
}

func TestAReadBeforeTheMachineRunsIsAnswered(t *testing.T) {
	var early answers
	n := restarted(t, func(c *Config) {
		// The server's mailbox waits until the read was sent.
		c.Props = append(c.Props, actor.WithOnInit(func(ctx actor.Context) {
			if s, ok := ctx.Actor().(*server); ok {
				s.door.QueryStale([]byte("x"), &early)
			}
		}))
	})
	wantOnce(t, n.door, &early)
}

func TestAPanickingQueryLosesNobody(t *testing.T) {
	m := newMoody()
	n, c := alone(t, m), newCallers(5)
	applied := n.door.Status().AppliedIndex
	n.door.QueryStale([]byte("slow"), c[0])
	<-m.entered
	n.door.QueryStale([]byte("panic"), c[1])
	n.door.QueryStale([]byte("x"), c[2])
	n.door.Propose([]byte("command"), c[3])
	eventually(t, "the command waits in the machine's mailbox", func() bool { return n.door.Status().CommitIndex > applied })
	n.door.Query([]byte("x"), c[4])
	close(m.leave)
	wantOnce(t, n.door, c...)
	for i, want := range map[int]error{0: nil, 1: ErrGroupFailed, 2: ErrGroupFailed, 3: ErrOutcomeUnknown, 4: ErrGroupFailed} {
		if got := c[i].all()[0].Err; !errors.Is(got, want) {
			t.Errorf("caller %d gets %v, want %v", i, got, want)
		}
	}
}

func TestReadsThatWaitForAnIndexAreAnsweredOnceWhenOneOfThemPanics(t *testing.T) {
	n, c := alone(t, newMoody()), newCallers(3)
	next := n.door.Status().AppliedIndex + 1
	// As a leader hands them over whose followers have committed what its own disk does not have yet.
	l := &lookup{readIndex: next}
	for i, q := range []string{"x", "panic"} {
		n.door.admit(len(q))
		l.queries = append(l.queries, query{query: []byte(q), caller: c[i]})
	}
	n.door.look(l)
	n.door.Propose([]byte("command"), c[2])
	wantOnce(t, n.door, c...)
	if err := c[0].all()[0].Err; err != nil {
		t.Errorf("the read before the one that panics gets %v", err)
	}
}

func TestReadsAtTheMachineAreAnsweredWhenTheDiskFails(t *testing.T) {
	_, nodes := startNetwork(t, 3)
	n, c := leaderOf(t, nodes), newCallers(2)
	eventually(t, "all is applied", func() bool { s := n.door.Status(); return s.AppliedIndex == s.LastIndex })
	next := n.door.Status().AppliedIndex + 1
	n.door.admit(1)
	n.door.look(&lookup{readIndex: next, queries: []query{{query: []byte("x"), caller: c[0]}}})
	n.door.StorageFailed(errors.New("no disk"))
	wantOnce(t, n.door, c[0])
	if err := c[0].all()[0].Err; !errors.Is(err, ErrStorageFailed) {
		t.Errorf("the read gets %v", err)
	}
	n.door.QueryStale([]byte("x"), c[1])
	wantOnce(t, n.door, c[1])
	if err := c[1].all()[0].Err; err != nil {
		t.Errorf("a stale read gets %v: it needs no disk", err)
	}
}

func TestNobodyWaitsForAMachineThatPanickedAfterTheDiskFailed(t *testing.T) {
	n, c := alone(t, newMoody()), newCallers(2)
	n.door.StorageFailed(errors.New("no disk"))
	eventually(t, "the server has failed", func() bool { return n.door.Status().Role == Failed })
	n.door.QueryStale([]byte("panic"), c[0])
	wantOnce(t, n.door, c[0])
	n.door.QueryStale([]byte("x"), c[1])
	wantOnce(t, n.door, c[1])
	if err := c[1].all()[0].Err; !errors.Is(err, ErrGroupFailed) {
		t.Errorf("it gets %v", err)
	}
}

// stuck is a state machine that applies when it is let.
type stuck struct {
	register
	enter chan struct{}
}

func (s *stuck) Apply(entries []Entry) []Result {
	<-s.enter
	return s.register.Apply(entries)
}

func TestALeaderIsNotReadyBeforeItsLogIsApplied(t *testing.T) {
	n := alone(t, newMoody())
	done := &answers{}
	n.door.Propose([]byte("command"), done)
	wantOnce(t, n.door, done)
	m := &stuck{enter: make(chan struct{})}
	n.restart(func(c *Config) { c.Machine = m })
	leaderOf(t, []*testNode{n})
	if s := n.door.Status(); !errors.As(s.Unready, new(BehindError)) {
		t.Errorf("it leads, and says %v", s.Unready)
	}
	close(m.enter)
	eventually(t, "it is ready", func() bool { return n.door.Status().Unready == nil })
}
