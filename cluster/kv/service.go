package kv

import (
	"context"
	"errors"
	"net/http"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/internal/kvwire"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// Mount serves the KeyValue service of client.proto, for the map that group replicates, on the node's client port. A node
// serves one map at most: mounting another is an error.
func Mount(node *cluster.Node, group *cluster.Group) error {
	path, handler := messagesconnect.NewKeyValueHandler(Service(group), cluster.HandlerOptions()...)
	return node.Handle(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cluster.NameLeader(r.Context(), group)
		handler.ServeHTTP(w, r)
	}))
}

// ServedGroup is what the service needs of a group; *cluster.Group is one.
type ServedGroup interface {
	Submit(ctx context.Context, session messages.SessionCommand, command []byte) (cluster.Result, error)
	Query(ctx context.Context, options cluster.ReadOptions, query []byte) (cluster.Result, error)
}

// Service is the KeyValue service over the map that group replicates, for programs that mount it themselves.
func Service(group ServedGroup) messagesconnect.KeyValueHandler { return service{group} }

type service struct{ group ServedGroup }

var _ messagesconnect.KeyValueHandler = service{}

func (s service) Put(ctx context.Context, r *messages.PutRequest) (*messages.PutResponse, error) {
	if err := checkKeyAndValue(r.Key, r.Value); err != nil {
		return nil, rpcError(err)
	}
	_, version, index, err := s.submit(ctx, r.Session, kvwire.Put(r.Key, r.Value))
	if err != nil {
		return nil, err
	}
	return &messages.PutResponse{Version: version, Index: index}, nil
}

// shortValue is the longest value that is read before the client port has made room for it.
const shortValue = 16 << 10

// Get asks for a short value first: a long one is not copied out of the map before there is room for it.
func (s service) Get(ctx context.Context, r *messages.GetRequest) (*messages.GetResponse, error) {
	if err := checkKey(r.Key); err != nil {
		return nil, rpcError(err)
	}
	read, err := actors.ReadOf(r.Consistency, r.MaxStalenessMs)
	if err != nil {
		return nil, rpcError(err)
	}
	options := cluster.ReadOptions{Read: read, MinIndex: r.MinIndex}
	for limit := shortValue; ; {
		result, err := s.group.Query(ctx, options, kvwire.GetShort(r.Key, limit))
		if err != nil {
			return nil, rpcError(err)
		}
		answer, err := kvwire.DecodeGetAnswer(result.Value)
		if err != nil {
			return nil, rpcError(err)
		}
		if answer.Long == 0 {
			return &messages.GetResponse{Found: answer.Found, Value: answer.Value, Version: answer.Version, Index: result.Index}, nil
		}
		if err := cluster.MakeRoom(ctx, answer.Long); err != nil {
			return nil, err
		}
		limit = answer.Long
	}
}

func (s service) Delete(ctx context.Context, r *messages.DeleteRequest) (*messages.DeleteResponse, error) {
	if err := checkKey(r.Key); err != nil {
		return nil, rpcError(err)
	}
	deleted, _, index, err := s.submit(ctx, r.Session, kvwire.Delete(r.Key))
	if err != nil {
		return nil, err
	}
	return &messages.DeleteResponse{Deleted: deleted, Index: index}, nil
}

func (s service) CompareAndSwap(ctx context.Context, r *messages.CompareAndSwapRequest) (*messages.CompareAndSwapResponse, error) {
	if err := checkSwap(r.Key, r.OldValue, r.NewValue); err != nil {
		return nil, rpcError(err)
	}
	swapped, version, index, err := s.submit(ctx, r.Session, kvwire.CompareAndSwap(r.Key, r.OldValue, r.NewValue))
	if err != nil {
		return nil, err
	}
	return &messages.CompareAndSwapResponse{Swapped: swapped, Version: version, Index: index}, nil
}

func (s service) submit(ctx context.Context, serial *messages.SessionSerial, command []byte) (done bool, version, index uint64, err error) {
	session, err := serial.Command()
	if err != nil {
		return false, 0, 0, rpcError(err)
	}
	result, err := s.group.Submit(ctx, session, command)
	if err != nil {
		return false, 0, 0, rpcError(err)
	}
	done, version, err = kvwire.DecodeResult(result.Value)
	return done, version, result.Index, rpcError(err)
}

func rpcError(err error) error {
	if errors.Is(err, ErrInvalid) {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	return cluster.RPCError(err)
}
