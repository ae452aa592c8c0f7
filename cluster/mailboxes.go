package cluster

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// mailboxes run on the node's workers, a few at a time, in the order in which they were woken. When a thousand groups are busy, thousands
// of mailboxes have mail: to have Go choose among as many goroutines took half of the time. More mailboxes run while those that do wait
// for something else than a processor, such as the disk of a state machine. It is safe for concurrent use.
type mailboxes struct {
	workers *workers
	serve   func() // serveAll, made once

	mu      sync.Mutex
	woken   []func() // from first on
	first   int
	running int
	extra   int    // how many more than atOnce may run
	begun   uint64 // how many were, and at the last look
	looked  uint64
	watched bool
}

// atOnce is how many mailboxes run at a time when none of them blocks.
var atOnce = 2 * runtime.GOMAXPROCS(0)

var _ actor.Dispatcher = (*mailboxes)(nil)

func newMailboxes(w *workers) *mailboxes {
	m := &mailboxes{workers: w}
	m.serve = m.serveAll
	return m
}

// Throughput is how many messages a mailbox handles before others get a turn: Proto.Actor's own number.
func (m *mailboxes) Throughput() int { return 300 }

// Schedule runs a mailbox when it is its turn. It does not block.
func (m *mailboxes) Schedule(run func()) {
	m.mu.Lock()
	m.woken = append(m.woken, run)
	free := m.running < atOnce+m.extra
	if free {
		m.running++
	} else if !m.watched {
		m.watched = true
		time.AfterFunc(watchEvery, m.watch)
	}
	m.mu.Unlock()
	if free {
		m.workers.run(m.serve)
	}
}

// serveAll runs mailboxes until none waits.
func (m *mailboxes) serveAll() {
	for run, calm := m.next(); run != nil; run, calm = m.next() {
		if calm {
			runtime.Gosched() // who wakes a mailbox has more for it, as a rule: they are handled together
		}
		run()
	}
}

// next is nil when the caller is to run no more. It is calm when few wait behind it.
func (m *mailboxes) next() (run func(), calm bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.first == len(m.woken) || m.running > atOnce+m.extra {
		m.running--
		return nil, true
	}
	m.begun++
	run, m.woken[m.first] = m.woken[m.first], nil
	if m.first++; m.first > len(m.woken)/2 {
		n := copy(m.woken, m.woken[m.first:])
		clear(m.woken[n:])
		m.woken, m.first = m.woken[:n], 0
	}
	return run, len(m.woken)-m.first < atOnce
}

// watchEvery is how long mailboxes may wait for others that block.
const watchEvery = 2 * time.Millisecond

// watch looks after mailboxes that wait. If none of them began since the last look, or no goroutine waits for a processor, those that run
// are blocked, and as many more may run. Otherwise fewer may, until only atOnce do.
func (m *mailboxes) watch() {
	idle := processorsIdle() // without the mutex: it looks at all processors
	m.mu.Lock()
	waiting, more := len(m.woken)-m.first, 0
	switch {
	case waiting == 0:
	case m.begun == m.looked || idle:
		more = min(waiting, atOnce+m.extra)
		m.extra += more
		m.running += more
	default:
		m.extra -= (m.extra + 7) / 8
	}
	m.looked = m.begun
	if m.watched = waiting > 0; m.watched {
		time.AfterFunc(watchEvery, m.watch)
	}
	m.mu.Unlock()
	for range more {
		m.workers.run(m.serve)
	}
}

// processorsIdle says that no goroutine waits for a processor.
func processorsIdle() bool {
	runnable := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	metrics.Read(runnable)
	return runnable[0].Value.Kind() == metrics.KindUint64 && runnable[0].Value.Uint64() == 0
}
