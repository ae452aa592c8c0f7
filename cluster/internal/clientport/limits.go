package clientport

import (
	"cmp"
	"fmt"
	"time"
)

// Limits are those that users set: cluster.ClientLimits says what each is for.
type Limits struct {
	Connections, Requests     int
	Calls                     int
	RequestBytes, AnswerBytes int64
	Slow, Still, Patience     time.Duration
}

// SetDefaults replaces zero values.
func (l *Limits) SetDefaults() {
	l.Connections = cmp.Or(l.Connections, 2048)
	l.Requests = cmp.Or(l.Requests, 4096)
	l.Calls = cmp.Or(l.Calls, 4096)
	l.RequestBytes = cmp.Or(l.RequestBytes, 64<<20)
	l.AnswerBytes = cmp.Or(l.AnswerBytes, 64<<20)
	l.Slow = cmp.Or(l.Slow, 30*time.Second)
	l.Still = cmp.Or(l.Still, 250*time.Millisecond)
	l.Patience = cmp.Or(l.Patience, time.Second)
}

// connectionShare is the part of all bytes that one connection may have.
const connectionShare = 4

// Validate says what is wrong with the limits, once they have their defaults.
func (l Limits) Validate() error {
	const least, most = connectionShare * maxRequestBytes, 1 << 40
	switch {
	case l.Connections < 1 || l.Connections > 1<<20 || l.Requests < 1 || l.Requests > 1<<20:
		return fmt.Errorf("%d connections of clients and %d requests under way are not possible: give 1 to %d of each",
			l.Connections, l.Requests, 1<<20)
	case l.Calls < 1 || l.Calls > 1<<16:
		return fmt.Errorf("%d calls on one stream are not possible: give 1 to %d", l.Calls, 1<<16)
	case l.RequestBytes < least || l.AnswerBytes < least || l.RequestBytes > most || l.AnswerBytes > most:
		return fmt.Errorf("%d bytes for requests and %d for answers are not possible: give %d to %d for each",
			l.RequestBytes, l.AnswerBytes, least, most)
	case l.Slow <= 0 || l.Still <= 0 || l.Patience <= 0:
		return fmt.Errorf("the times %v, %v and %v of clients must be more than 0", l.Slow, l.Still, l.Patience)
	}
	return nil
}
