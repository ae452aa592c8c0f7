// Package transport is Proto.Actor's remote made fit for consensus. [Start] turns an actor system into one that exchanges
// Raft's messages with a fixed set of peers.
//
//   - The gate (gate.go) stands before everything that leaves: it queues a message only while the peer is connected and its
//     queue is short, and drops and counts the rest at once. Raft resends; a transport that queues for it only delivers
//     stale mail.
//   - The dialer (dial.go) keeps one connection per peer up, or trying, whether or not there is something to send, and cuts
//     one that makes no progress (link.go). Proto.Actor's endpoint writer makes the stream; one goroutine per link takes what
//     is queued (queue.go), and writes it in frames (letter.go).
//   - The guard (guard.go, frame.go, inbound.go) stands before everything that arrives: only known peers, and a few strangers that
//     show that they know the cluster (stranger.go); only the message types and targets of the configuration; only well-formed
//     frames, bounded in bytes, counts, connections and time.
//     It mails the messages itself (deliver.go); Proto.Actor's endpoint reader answers the greeting and sees nothing else.
//     Whoever reaches the port of a plain remote can crash it, and stop any of its actors.
//   - Both sides warn of what keeps nodes apart (trouble.go), in a log that stays short whatever comes (package hush).
//     Certificates are read again when their files change (package tlsfiles).
//
// What goes over the wire is Proto.Actor's protocol, so a plain remote could be on the other end. A message, and whatever it
// points to, must never change after it was sent: it is encoded later, and large log entries are written from where they are.
//
// Every node must be able to dial the advertised address of every other: requests and replies use separate connections.
// Without TLS an attacker who reaches the port can still claim to be a known peer and send its messages.
package transport
