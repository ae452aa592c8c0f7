// Package client talks to the client ports of a troupe cluster: any state machine, the replicated map, the cluster's status, and backups.
// [Spawn] does so by mail, for actors.
//
// A [Client] finds the leader by itself, follows it when it changes, and repeats what has no answer until the context is done. A write is
// repeated in its session, in which it takes effect once; without one ([AtMostOnce]) only what certainly did not happen is repeated. What
// nobody could account for in time is [ErrOutcomeUnknown], and the caller decides.
package client
