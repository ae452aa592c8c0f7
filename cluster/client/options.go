package client

import (
	"crypto/tls"
	"time"
)

const defaultTimeout = 5 * time.Second

// Option changes how a [Client] works.
type Option func(*options)

type options struct {
	tls        *tls.Config
	atMostOnce bool
	mostCalls  int
	timeout    time.Duration
}

// WithTLS makes the client speak TLS with the nodes, whose certificates must name the hosts of their client addresses. [LoadTLS] makes a
// configuration from files. The client owns config from then on; nil means plain text.
func WithTLS(config *tls.Config) Option { return func(o *options) { o.tls = config } }

// AtMostOnce sends writes without a session. They cost the group a little less, and each whose answer is lost has an unknown outcome.
func AtMostOnce() Option { return func(o *options) { o.atMostOnce = true } }

// Timeout is the time for each call whose context has no deadline, 5 seconds by default, and costs less than a deadline. It may be up to a
// tenth of a second late. A time below 1 means the default.
func Timeout(d time.Duration) Option {
	return func(o *options) {
		if o.timeout = d; d < 1 {
			o.timeout = defaultTimeout
		}
	}
}

// MostCalls is how many calls may be under way at a time, 8192 by default. Further calls of a [Client] wait for their contexts; messages to
// an actor of [Spawn] are refused. A number below 1 means the default.
func MostCalls(n int) Option {
	return func(o *options) {
		if o.mostCalls = n; n < 1 {
			o.mostCalls = mostInFlight
		}
	}
}
