package actors

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/persistence"
)

// notes is a log that a test reads.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(line []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(line)
}

func (n *notes) wait(t *testing.T, parts ...string) {
	t.Helper()
	eventually(t, "the log has "+strings.Join(parts, " and "), func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, part := range parts {
			if !strings.Contains(n.text.String(), part) {
				return false
			}
		}
		return true
	})
}

func TestAPanicOfAStateMachineIsLoggedWithItsStack(t *testing.T) {
	var log notes
	n := restarted(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	n.door.QueryStale([]byte("panic"), newCallers(1)[0])
	log.wait(t, "the state machine panicked", "a query that panics", "moody).Query")
}

func TestAPanicOfAServerIsLoggedWithItsStack(t *testing.T) {
	var log notes
	n := restarted(t, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c.Observe = observeAndPanic
	})
	log.wait(t, "the group's server panicked", "an observer that panics", "observeAndPanic")
	eventually(t, "the status says so", func() bool { return errors.Is(n.door.Status().Unready, ErrGroupFailed) })
}

func observeAndPanic(Observation) { panic("an observer that panics") }

func TestAPanicOfTheJournalHasItsStack(t *testing.T) {
	root := actor.NewActorSystem().Root
	broken := make(chan error, 1)
	journal, err := startJournal(root, noStore{}, panickingExecutor, func(err error) { broken <- err })
	if err != nil {
		t.Fatal(err)
	}
	root.Send(journal, &write{batch: &batch{}})
	var p interface{ Stack() string }
	if err := <-broken; !errors.As(err, &p) || !strings.Contains(p.Stack(), "panickingExecutor") {
		t.Errorf("it says %v", err)
	}
}

func panickingExecutor(func()) { panic("an executor that panics") }

// noStore is never written to.
type noStore struct{}

func (noStore) Write([]*persistence.Batch) error { return nil }
func (noStore) Reclaimable() bool                { return false }
func (noStore) Reclaim() error                   { return nil }
