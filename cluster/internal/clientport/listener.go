package clientport

import (
	"bufio"
	"net"
	"time"
)

// listener accepts connections of clients within the limits.
type listener struct {
	net.Listener
	limiter *limiter
	lobby   lobby
}

// cut ends all connections.
func (l *listener) cut() {
	for _, h := range l.limiter.connections.all() {
		h.yield(nil)
	}
	for _, c := range l.lobby.all() {
		_ = c.Close()
	}
}

func (l *listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: accepted, listener: l, buffer: bufio.NewReaderSize(accepted, readBuffer)}
	c.pace.moved.Store(time.Now().UnixNano())
	c.place = hold{owner: new(owner), pace: &c.pace, yield: func(error) bool { return c.Close() == nil }}
	if !l.limiter.connections.enter(&c.place) {
		l.lobby.enter(c)
	}
	return c, nil
}
