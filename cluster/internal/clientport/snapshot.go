package clientport

import (
	"context"
	"io"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/messages"
)

const (
	// snapshotPiece is how much of a snapshot file one message has.
	snapshotPiece = 64 << 10
	// snapshotBytes is about what a stream holds in memory: the open file, a piece of it, and the message. A stream takes that much room
	// for answers, so that there cannot be many at a time, and those whose clients stand still go first.
	snapshotBytes = 512 << 10
)

func (s clusterService) Snapshot(
	ctx context.Context, r *messages.SnapshotRequest, stream *connect.ServerStream[messages.SnapshotResponse],
) error {
	group, err := groupName(s.node, r.GetGroup())
	if err != nil {
		return RPCError(err)
	}
	NameLeader(ctx, group)
	if !r.GetLocal() {
		if err := s.node.Lead(ctx, group); err != nil {
			return RPCError(err)
		}
	}
	if err := MakeRoom(ctx, snapshotBytes); err != nil {
		return err
	}
	if err := stream.Send(&messages.SnapshotResponse{}); err != nil {
		return err
	}
	file, err := s.node.Snapshot(ctx, group)
	if err != nil {
		return RPCError(err)
	}
	defer func() { _ = file.Close() }()
	return sendFile(ctx, file, stream)
}

func sendFile(ctx context.Context, file Snapshot, stream *connect.ServerStream[messages.SnapshotResponse]) error {
	piece := make([]byte, snapshotPiece)
	for {
		n, err := io.ReadFull(file, piece)
		if err == io.EOF {
			return nil
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return RPCError(err)
		}
		if err := ctx.Err(); err != nil {
			return RPCError(err)
		}
		if err := stream.Send(&messages.SnapshotResponse{Bytes: uint64(file.Size()), Data: piece[:n]}); err != nil {
			return err
		}
	}
}
