// Package clientport is the HTTP port of a node. [Listen] opens one for a [Node]; handlers are mounted with [Port.Handle].
//
//   - It speaks HTTP/1.1 and HTTP/2, with TLS or without (server.go), and has of its own the node's status (status.go), backups
//     (snapshot.go) and the health pages (health.go). Handlers get Connect's protocols with strict JSON (json.go), requests that cannot
//     unpack to anything (gzip.go), and errors with codes (rpcerror.go).
//   - All clients together may hold what the limits allow (limits.go): connections, requests, bytes of bodies, bytes of answers. The
//     limiter (limiter.go) has a room for each (room.go), of which clients have holds (hold.go). When one is short, who stands still
//     (pace.go) has to yield (yield.go).
//   - A request is a visit from its headers to the last byte of its answer (visit.go). Its body (body.go) and its answer (answer.go)
//     take room, and tell whether the visit waits for the node or for its client.
//   - With TLS, the handshake comes first (secured.go, handshake.go), in bounded time and memory; who speaks plain text is told
//     (plain.go).
//   - A connection (listener.go, conn.go) that is too many is heard in the lobby (lobby.go). One that reads nothing ends, and so does
//     one that does little but take its requests back (resets.go).
package clientport
