package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/messages"
)

// Snapshot is a snapshot file that a node sends: a backup. It belongs to one goroutine.
type Snapshot struct {
	stream  *connect.ServerStreamForClient[messages.SnapshotResponse]
	address string
	end     context.CancelFunc
	pending []byte
	size    uint64 // 0: not known yet
	read    uint64
}

// Snapshot asks for a snapshot of a group that has every write that was acknowledged before the call; an empty name means the group that
// the nodes started first. With local the node that answers first sends what it has applied, whether it leads or not. A node must be
// found in time; the transfer, for which the node may have to write the snapshot first, lasts until it ends, or ctx does. The caller
// calls [Snapshot.Close]. The content is not checked.
func (c *Client) Snapshot(ctx context.Context, find time.Duration, group string, local bool) (snapshot *Snapshot, err error) {
	finding, cancel := context.WithTimeout(ctx, find)
	defer cancel()
	request := &messages.SnapshotRequest{Group: group, Local: local}
	err = c.call(finding, func(try context.Context, s *server) (err error) {
		snapshot, err = openSnapshot(ctx, try, s, request)
		return err
	})
	return snapshot, err
}

// openSnapshot returns when the node has begun to answer, and gives up when try is done before.
func openSnapshot(ctx, try context.Context, s *server, request *messages.SnapshotRequest) (*Snapshot, error) {
	lifetime, end := context.WithCancel(ctx)
	began := context.AfterFunc(try, end)
	stream, err := s.cluster.Snapshot(lifetime, request)
	if err == nil && !stream.Receive() {
		err = cmp.Or(stream.Err(), errShort)
	}
	if !began() {
		err = try.Err()
	}
	if err != nil {
		end()
		return nil, err
	}
	return &Snapshot{stream: stream, address: s.address, end: end}, nil
}

var errShort = errors.New("the node sent less than the whole snapshot")

// Size is the length of the file in bytes, 0 before the first Read.
func (s *Snapshot) Size() uint64 { return s.size }

// Read reads the file, and ends with io.EOF only when all of it came.
func (s *Snapshot) Read(p []byte) (int, error) {
	for len(s.pending) == 0 {
		if !s.stream.Receive() {
			return 0, s.ended()
		}
		m := s.stream.Msg()
		s.pending, s.size = m.GetData(), max(s.size, m.GetBytes())
	}
	n := copy(p, s.pending)
	s.pending = s.pending[n:]
	s.read += uint64(n)
	return n, nil
}

func (s *Snapshot) ended() error {
	err := s.stream.Err()
	switch {
	case err == nil && s.size > 0 && s.read == s.size:
		return io.EOF
	case err == nil:
		err = errShort
	}
	when := fmt.Sprintf("before %s had sent any of it", s.address)
	if s.size > 0 {
		when = fmt.Sprintf("when %s had sent %d of %d bytes", s.address, s.read, s.size)
	}
	return &callError{text: "the snapshot broke off " + when + ": " + sentence(err), kind: ErrUnavailable, cause: err}
}

// Close ends the transfer.
func (s *Snapshot) Close() error {
	s.end()
	return s.stream.Close()
}
