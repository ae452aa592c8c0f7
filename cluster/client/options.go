package client

import "crypto/tls"

// Option changes how a [Client] works.
type Option func(*options)

type options struct {
	tls        *tls.Config
	atMostOnce bool
}

// WithTLS makes the client speak TLS with the nodes, whose certificates must name the hosts of their client addresses. [LoadTLS] makes a
// configuration from files. The client owns config from then on; nil means plain text.
func WithTLS(config *tls.Config) Option { return func(o *options) { o.tls = config } }

// AtMostOnce sends writes without a session. They cost the group a little less, and each whose answer is lost has an unknown outcome.
func AtMostOnce() Option { return func(o *options) { o.atMostOnce = true } }
