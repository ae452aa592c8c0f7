package cluster

import (
	"net"
	"time"
)

// impatient is a listener whose connections fail when their peer takes nothing for so long: who asks and does not read would hold
// the answer, and a goroutine, for ever. ([http.Server.WriteTimeout] would also end long answers.)
type impatient struct {
	net.Listener
	patience time.Duration
}

func (l impatient) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return impatientConn{conn, l.patience}, nil
}

type impatientConn struct {
	net.Conn
	patience time.Duration
}

func (c impatientConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
