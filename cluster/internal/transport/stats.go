package transport

import "sync/atomic"

// Drop says why the gate did not send a message.
type Drop uint8

// The reasons of the gate.
const (
	DropUnknownPeer  Drop = iota // the address is not a peer's, or the transport is shut down
	DropNotConnected             // the peer cannot be reached now
	DropQueueFull                // the peer reads too slowly, or not at all
	DropTooLarge                 // longer than a quarter of Config.MaxMessageBytes
	DropUnsendable               // not of Config.AllowTypes, with headers, in another node's name, or not to be encoded
	DropSystem                   // Watch, Unwatch, Stop and their like: they do not travel
	drops
)

func (d Drop) String() string {
	return [...]string{"unknown peer", "not connected", "queue full", "too large", "unsendable", "system message"}[d]
}

// Refusal says why the guard closed a stream or a connection.
type Refusal uint8

// The reasons of the guard.
const (
	RefusedMalformed    Refusal = iota // not what Proto.Actor sends, or an index out of range
	RefusedLimit                       // too many bytes or parts
	RefusedNoGreeting                  // something else came before the ConnectRequest, or a second one came
	RefusedUnknownPeer                 // the greeting names an address that is not a peer's, and nothing shows that it knows the cluster
	RefusedStranger                    // there are as many strangers as may be
	RefusedCertificate                 // the greeting names an address that the certificate does not cover
	RefusedForgedSender                // a sender is not at the address of the greeting
	RefusedTarget                      // Config.AllowTarget said no
	RefusedType                        // not of Config.AllowTypes, or not encoded as protobuf
	RefusedHeader                      // an envelope with headers
	RefusedUnary                       // a unary call; only the stream is served
	RefusedHandshake                   // the TLS or HTTP/2 handshake failed or was not finished, or no greeting came in time
	RefusedConnection                  // too many connections that have not greeted, or in the name of one peer
	RefusedForNow                      // the node starts or stops: the peer shall try again
	RefusedPanic                       // a panic in the handler was recovered
	refusals
)

func (r Refusal) String() string {
	return [...]string{"malformed", "over a limit", "no greeting", "unknown peer", "stranger", "certificate", "forged sender", "target",
		"type", "header", "unary call", "handshake", "connection", "for now", "panic"}[r]
}

// Stats is a snapshot of a transport's counters since Start.
type Stats struct {
	Sent          uint64             // messages that the gate let through
	Written       uint64             // of those, messages written to a connection
	Frames        uint64             // frames written; one carries up to 64 messages
	Dropped       map[Drop]uint64    // messages that were not sent
	Received      uint64             // messages handed to local actors
	Ignored       uint64             // messages of strangers that did not show that they know the cluster
	Refused       map[Refusal]uint64 // streams and connections refused
	Connects      uint64             // outbound connections established
	Disconnects   uint64             // outbound connections ended
	InboundConns  int                // inbound connections open now
	UnprovenConns int                // of those, connections that have not greeted yet, or have not shown that they know the cluster
	Peers         []PeerStats        // known peers and strangers, sorted by address
}

// PeerStats describes the outbound connection to one peer.
type PeerStats struct {
	Address        string
	Stranger       bool
	Connected      bool
	QueuedMessages int64
	QueuedBytes    int64
	LastError      string // why the last attempt or connection failed; kept while connected
}

type counters struct {
	sent, written, frames, received, ignored, connects, disconnects atomic.Uint64

	dropped [drops]atomic.Uint64
	refused [refusals]atomic.Uint64
}

func (c *counters) drop(why Drop) { c.dropped[why].Add(1) }

// Stats returns the counters. Safe for concurrent use; the counters are read one by one.
func (t *Transport) Stats() Stats {
	c := &t.counters
	s := Stats{
		Sent: c.sent.Load(), Written: c.written.Load(), Frames: c.frames.Load(), Received: c.received.Load(), Ignored: c.ignored.Load(),
		Connects: c.connects.Load(), Disconnects: c.disconnects.Load(),
		Dropped: make(map[Drop]uint64, drops), Refused: make(map[Refusal]uint64, refusals),
	}
	for i := range c.dropped {
		s.Dropped[Drop(i)] = c.dropped[i].Load()
	}
	for i := range c.refused {
		s.Refused[Refusal(i)] = c.refused[i].Load()
	}
	s.InboundConns, s.UnprovenConns = t.door.count()
	for _, p := range t.sortedPeers() {
		s.Peers = append(s.Peers, p.stats())
	}
	return s
}
