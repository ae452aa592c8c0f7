package client

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// How long a server that failed is asked last: a refused connection tells that a node restarts, silence that it hangs.
const (
	suspectRefused = 300 * time.Millisecond
	suspectSilent  = time.Second
)

// route knows the servers and guesses whom to ask. It is safe for concurrent use.
type route struct {
	mu      sync.Mutex
	http    *http.Client
	scheme  string
	servers []*server
	leader  *server // nil: unknown
	named   *server // who leads, by the word of who was asked last
	next    int
	suspect map[*server]time.Time // until when
}

func newRoute(client *http.Client, scheme string, addresses []string) *route {
	r := &route{http: client, scheme: scheme, suspect: map[*server]time.Time{}}
	for _, a := range addresses {
		r.add(a)
	}
	return r
}

// add returns the server with that address, a new one if need be. The caller holds mu, or is the only one.
func (r *route) add(address string) *server {
	if i := slices.IndexFunc(r.servers, func(s *server) bool { return s.address == address }); i >= 0 {
		return r.servers[i]
	}
	s := newServer(address, r.scheme, r.http)
	r.servers = append(r.servers, s)
	return s
}

// learn adds addresses to those known.
func (r *route) learn(addresses []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range addresses {
		if a != "" {
			r.add(a)
		}
	}
}

// pick returns the leader if one is known, otherwise the servers in turn, suspects last.
func (r *route) pick() *server {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leader != nil {
		return r.leader
	}
	return r.turn()
}

// any returns the servers in turn, suspects last.
func (r *route) any() *server {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.turn()
}

func (r *route) turn() *server {
	for range r.servers {
		s := r.servers[r.next%len(r.servers)]
		r.next++
		if !r.suspected(s) {
			return s
		}
	}
	s := r.servers[r.next%len(r.servers)]
	r.next++
	return s
}

func (r *route) suspected(s *server) bool {
	return s.stranger.Load() || time.Now().Before(r.suspect[s])
}

// leads notes that the server did what only a leader does.
func (r *route) leads(s *server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leader = s
	delete(r.suspect, s)
}

// redirected notes that s does not lead, and that hint leads, if there is one. It returns a leader to ask at once, or a suspect that
// should show first that it lives: until an election is over, followers name the leader that has just died.
func (r *route) redirected(s *server, hint string) (leader, suspect *server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leader == s {
		r.leader = nil
	}
	if hint == "" || hint == s.address {
		return nil, nil
	}
	named := r.add(hint)
	if r.suspected(named) {
		return nil, named
	}
	r.leader = named
	return named, nil
}

// lives ends suspicions.
func (r *route) lives(s *server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.suspect, s)
	if r.named == s {
		r.leader = s
	}
}

// serves notes that the server did what was asked. All members do; it is asked again while no leader is known.
func (r *route) serves(s *server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leader == nil {
		r.leader = s
	}
	delete(r.suspect, s)
}

// told notes that s says who leads, if s is who is asked. It returns a suspect that should show first that it lives.
func (r *route) told(s *server, address string) (suspect *server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if address == "" || r.leader != nil && r.leader != s {
		return nil
	}
	r.named = r.add(address)
	if r.named != s && r.suspected(r.named) {
		return r.named
	}
	r.leader = r.named
	return nil
}

// failed notes that the server gave no useful answer: for a while the others are asked first.
func (r *route) failed(s *server, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leader == s {
		r.leader = nil
	}
	r.suspect[s] = time.Now().Add(d)
}

// passOver has others asked before s, and says whether there are none: this client can speak to nobody but those.
func (r *route) passOver(s *server, those []*server) (none bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leader == s {
		r.leader = nil
	}
	return !slices.ContainsFunc(r.servers, func(other *server) bool {
		return !other.stranger.Load() && !slices.Contains(those, other)
	})
}

// avoid notes that this client cannot speak to the server, and says whether there is another server to ask.
func (r *route) avoid(s *server) (others bool) {
	s.stranger.Store(true)
	r.failed(s, suspectSilent)
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.servers, func(other *server) bool { return !other.stranger.Load() })
}
