package kv

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// Mount serves the KeyValue service of client.proto, for the map that group replicates, on the node's client port. A node
// serves one map at most: mounting another is an error.
func Mount(node *cluster.Node, group *cluster.Group) error {
	return node.Handle(messagesconnect.NewKeyValueHandler(Service(group), cluster.HandlerOptions()...))
}

// Service is the KeyValue service over the map that group replicates, for programs that mount it themselves.
func Service(group Group) messagesconnect.KeyValueHandler { return service{Open(group)} }

type service struct{ kv *KV }

var _ messagesconnect.KeyValueHandler = service{}

func (s service) Put(ctx context.Context, r *messages.PutRequest) (*messages.PutResponse, error) {
	version, err := s.kv.Put(ctx, r.Key, r.Value)
	if err != nil {
		return nil, rpcError(err)
	}
	return &messages.PutResponse{Version: version}, nil
}

// shortValue is the longest value that is read before the client port has made room for it.
const shortValue = 16 << 10

// Get asks for a short value first: a long one is not copied out of the map before there is room for it.
func (s service) Get(ctx context.Context, r *messages.GetRequest) (*messages.GetResponse, error) {
	if err := checkKey(r.Key); err != nil {
		return nil, rpcError(err)
	}
	for limit := shortValue; ; {
		answer, err := s.kv.get(ctx, encodeGetShort(r.Key, limit))
		if err != nil {
			return nil, rpcError(err)
		}
		if answer.long == 0 {
			return &messages.GetResponse{Found: answer.found, Value: answer.value, Version: answer.version}, nil
		}
		if err := cluster.MakeRoom(ctx, answer.long); err != nil {
			return nil, err
		}
		limit = answer.long
	}
}

func (s service) Delete(ctx context.Context, r *messages.DeleteRequest) (*messages.DeleteResponse, error) {
	deleted, err := s.kv.Delete(ctx, r.Key)
	if err != nil {
		return nil, rpcError(err)
	}
	return &messages.DeleteResponse{Deleted: deleted}, nil
}

func (s service) CompareAndSwap(ctx context.Context, r *messages.CompareAndSwapRequest) (*messages.CompareAndSwapResponse, error) {
	swapped, version, err := s.kv.CompareAndSwap(ctx, r.Key, r.OldValue, r.NewValue)
	if err != nil {
		return nil, rpcError(err)
	}
	return &messages.CompareAndSwapResponse{Swapped: swapped, Version: version}, nil
}

func rpcError(err error) error {
	if errors.Is(err, ErrInvalid) {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	return cluster.RPCError(err)
}
