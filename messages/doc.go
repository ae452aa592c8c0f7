// Package messages holds the protobuf messages of troupe: what servers say to each other (raft.proto), what is stored
// (disk.proto), what nodes ask each other (node.proto) and what clients send (client.proto). Mail inside one node is not protobuf
// and not here.
package messages

//go:generate go -C ../.ci run ./generate
