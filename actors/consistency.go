package actors

import "time"

// Read says what a read may miss.
type Read struct {
	Consistency Consistency
	// MaxStaleness is for Bounded.
	MaxStaleness time.Duration
}

// Consistency of a read.
type Consistency uint8

const (
	// Linearizable: the answer reflects all that was answered before the read was asked (section 8).
	Linearizable Consistency = iota
	// Lease: the same, as long as clocks run evenly (thesis 6.4.1).
	Lease
	// Bounded: the answer reflects all that was answered MaxStaleness before the read was asked.
	Bounded
	// Stale: the answer reflects what this node has applied, however old that is.
	Stale
)
