package client

import "crypto/tls"

// Option changes how a [Client] works.
type Option func(*options)

type options struct {
	tls        *tls.Config
	atMostOnce bool
	mostCalls  int
}

// WithTLS makes the client speak TLS with the nodes, whose certificates must name the hosts of their client addresses. [LoadTLS] makes a
// configuration from files. The client owns config from then on; nil means plain text.
func WithTLS(config *tls.Config) Option { return func(o *options) { o.tls = config } }

// AtMostOnce sends writes without a session. They cost the group a little less, and each whose answer is lost has an unknown outcome.
func AtMostOnce() Option { return func(o *options) { o.atMostOnce = true } }

// MostCalls is how many calls may be under way at a time, 8192 by default. Further calls of a [Client] wait for their contexts; messages to
// an actor of [Spawn] are refused. A number below 1 means the default.
func MostCalls(n int) Option {
	return func(o *options) {
		if o.mostCalls = n; n < 1 {
			o.mostCalls = mostInFlight
		}
	}
}
