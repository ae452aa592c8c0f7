package clientport

import (
	"net/http"
	"sync"
	"time"
)

// exchanges are the streams that a port serves. One goroutine looks after the calls of all that wait for too long.
type exchanges struct {
	node     Node
	credit   int // calls that a stream may have without an answer
	handler  http.Handler
	stopping chan struct{}
	once     sync.Once

	mu       sync.Mutex
	all      map[*exchange]struct{}
	sweeping bool
}

func newExchanges(node Node, credit int) *exchanges {
	return &exchanges{node: node, credit: credit, stopping: make(chan struct{}), all: map[*exchange]struct{}{}}
}

func (e *exchanges) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.handler.ServeHTTP(w, r) }

// stop ends each stream as soon as its calls have their answers.
func (e *exchanges) stop() { e.once.Do(func() { close(e.stopping) }) }

func (e *exchanges) add(s *exchange) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all[s] = struct{}{}
	if !e.sweeping {
		e.sweeping = true
		go e.sweep()
	}
}

func (e *exchanges) remove(s *exchange) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.all, s)
}

// sweepTime is how much later than its time a call may expire.
const sweepTime = 20 * time.Millisecond

// sweep goes on while there are streams.
func (e *exchanges) sweep() {
	ticker := time.NewTicker(sweepTime)
	defer ticker.Stop()
	var late []*exchange
	for now := range ticker.C {
		e.mu.Lock()
		for s := range e.all {
			if earliest := s.earliest.Load(); earliest != 0 && earliest <= now.UnixNano() {
				late = append(late, s)
			}
		}
		e.sweeping = len(e.all) > 0
		done := !e.sweeping
		e.mu.Unlock()
		if done {
			return
		}
		for _, s := range late {
			s.expire(now.UnixNano())
		}
		clear(late)
		late = late[:0]
	}
}
