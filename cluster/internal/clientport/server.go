package clientport

import (
	"log"
	"net/http"
	"time"
)

// Bounds on one connection. What all of them hold together is bounded by [Limits].
const (
	headerTime  = 5 * time.Second
	idleTime    = 2 * time.Minute
	pingTime    = 30 * time.Second
	headerBytes = 16 << 10
	streams     = 1024     // requests at a time on one HTTP/2 connection
	frameBytes  = 64 << 10 // read at a time
	// What a client may send ahead of the handler that reads it. Bodies that wait for room must not keep those that have room from
	// arriving, so a connection may bring much more than a stream; that must not be less than HTTP/2's 64 KiB, which a client may send
	// before it knows.
	unreadOnStream     = 64 << 10
	unreadOnConnection = 4<<20 - 1
)

// newServer makes a server, of connections that did their TLS handshake or of plain ones.
func newServer(l *limiter, h http.Handler, secure bool, errors *log.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(secure)
	protocols.SetUnencryptedHTTP2(!secure)
	return &http.Server{
		Handler:     l.handler(h),
		ConnContext: withConn,
		Protocols:   protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: streams, MaxReadFrameSize: frameBytes, SendPingTimeout: pingTime,
			MaxReceiveBufferPerConnection: unreadOnConnection, MaxReceiveBufferPerStream: unreadOnStream,
		},
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          errors,
	}
}
