package clientport

import (
	"container/list"
	"sync"
	"time"
)

// lobby is where a connection too many is heard: it is told so, or may ask for the health pages. It has lobbySize places, which newcomers
// take from those that have them longest. The zero value is an empty one. It is safe for concurrent use.
type lobby struct {
	mu    sync.Mutex
	heard list.List // of *conn
}

const (
	lobbySize = 64
	lobbyTime = 5 * time.Second
)

// enter lets a connection in for a short time.
func (l *lobby) enter(c *conn) {
	var oldest *conn
	l.mu.Lock()
	if l.heard.Len() == lobbySize {
		oldest = l.heard.Front().Value.(*conn)
	}
	c.inLobby = l.heard.PushBack(c)
	c.lobbyEnd = time.AfterFunc(lobbyTime, func() { _ = c.Close() })
	l.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close()
	}
}

func (l *lobby) all() (conns []*conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for place := l.heard.Front(); place != nil; place = place.Next() {
		conns = append(conns, place.Value.(*conn))
	}
	return conns
}

// leave is for a connection that ends.
func (l *lobby) leave(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.lobbyEnd.Stop()
	l.heard.Remove(c.inLobby)
}
