package actors

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

func TestGroupsOfAllSizesReplicate(t *testing.T) {
	for _, size := range []int{1, 2, 3, 5, 7} {
		t.Run(fmt.Sprintf("%d voters", size), func(t *testing.T) {
			_, nodes := startNetwork(t, size)
			leader := leaderOf(t, nodes)
			for i := range 20 {
				if a := propose(leader.door, fmt.Sprint(i)); a.Err != nil || string(a.Value) != fmt.Sprint(i+1) {
					t.Fatalf("proposal %d: %+v", i, a)
				}
			}
			want := "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"
			if got, err := readAll(leader.door); got != want || err != nil {
				t.Fatalf("read %q, %v", got, err)
			}
			for _, n := range nodes {
				eventually(t, "every machine applied everything", func() bool { return strings.Join(n.machine.all(), " ") == want })
			}
		})
	}
}

func TestAcknowledgedCommandsSurviveLeaderChangesAndRestarts(t *testing.T) {
	net, nodes := startNetwork(t, 3)
	var acknowledged []string
	for i := range 5 {
		leader := leaderOf(t, nodes)
		var wg sync.WaitGroup
		var mu sync.Mutex
		for j := range 40 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				command := fmt.Sprintf("%d.%d", i, j)
				if a := propose(leader.door, command); a.Err == nil {
					mu.Lock()
					acknowledged = append(acknowledged, command)
					mu.Unlock()
				}
			}()
		}
		wg.Wait()
		id := leader.door.Status().LeaderID
		leader.stop()
		rest := slices.DeleteFunc(slices.Clone(nodes), func(n *testNode) bool { return n == leader })
		leaderOf(t, rest)
		leader.start(id, testMembers(3))
	}
	if len(acknowledged) < 100 {
		t.Fatalf("only %d commands were acknowledged", len(acknowledged))
	}
	_ = net
	for _, n := range nodes {
		eventually(t, "every acknowledged command is applied everywhere", func() bool {
			all := n.machine.all()
			for _, c := range acknowledged {
				if !slices.Contains(all, c) {
					return false
				}
			}
			return true
		})
	}
}

func BenchmarkProposals(b *testing.B) {
	for _, clients := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("%d clients", clients), func(b *testing.B) {
			var t testing.T
			_ = time.Now
			_, nodes := startNetwork(&t, 3)
			leader := leaderOf(&t, nodes)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for c := range clients {
				wg.Add(1)
				go func() {
					defer wg.Done()
					a := make(asker, 1)
					command := make([]byte, 136)
					for range (b.N + c) / clients {
						leader.door.Propose(command, a)
						if answer := <-a; answer.Err != nil {
							b.Error(answer.Err)
							return
						}
					}
				}()
			}
			wg.Wait()
			b.StopTimer()
			for _, n := range nodes {
				n.stop()
			}
		})
	}
}

// held is a dispatcher whose mailboxes run only when it is released.
type held struct{ released chan struct{} }

func (h held) Throughput() int { return 300 }
func (h held) Schedule(work func()) {
	go func() {
		<-h.released
		work()
	}()
}

// Whoever asks before the server handled its first message is told the truth.
func TestAServerIsNotReadyBeforeItRuns(t *testing.T) {
	h := held{make(chan struct{})}
	n := restarted(t, func(c *Config) { c.Props = append(c.Props, actor.WithDispatcher(h)) })
	var none NoLeaderError
	if s := n.door.Status(); !errors.As(s.Unready, &none) || !none.Founded || none.Members != 1 {
		t.Errorf("the status is %+v", s)
	}
	close(h.released)
	leaderOf(t, []*testNode{n})
	eventually(t, "it is ready", func() bool { return n.door.Status().Unready == nil })
}
