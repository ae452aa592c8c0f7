// Package actors is Raft: each server is an actor whose mailbox serialises everything that happens to it. Its files are the
// boxes of Figure 2 of the paper (Ongaro and Ousterhout, extended version, 2014); "thesis" is Ongaro's dissertation.
//
// The package knows no sockets, no wall clock and no goroutines of its own: the network is whatever the actor system's
// addresses resolve to, time is a [Clock], disk is a [persistence.Store] behind the node's one [Journal].
package actors
