// Package client talks to the client ports of a troupe cluster: any state machine, the replicated map, the cluster's status, and backups.
// [Spawn] does so by mail, for actors.
//
// A [Client] finds the leader by itself, follows it when it changes, and repeats whatever certainly did not happen until the
// context is done. It never repeats a write that may have happened: that is [ErrOutcomeUnknown], and the caller decides.
package client
