package cluster

import (
	"context"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/cluster/internal/clientport"
)

// HandlerOptions are what handlers on the client port should have: a bound on what requests unpack to (the port itself bounds what
// they have before), JSON in which an unknown field is an error instead of a silent typing mistake, and a minute as the
// longest time that a client can give a unary call.
func HandlerOptions() []connect.HandlerOption { return clientport.HandlerOptions() }

// MakeRoom is for handlers on the client port whose answers may be large: they call it with the context of their request before they
// make an answer of so many bytes. It waits a moment for room, and fails with resource_exhausted when there is none. Elsewhere it does
// nothing.
func MakeRoom(ctx context.Context, bytes int) error { return clientport.MakeRoom(ctx, bytes) }

// NameLeader is for handlers on the client port: the header Troupe-Leader of the answer is to have the client address of this group's
// leader. Without that it has the leader of the node's first group.
func NameLeader(ctx context.Context, group *Group) { clientport.NameLeader(ctx, group.name) }

// RPCError is err as Connect and gRPC clients see it, for handlers that call a [Group]. A write that fails with any other
// code than aborted, data_loss, deadline_exceeded, canceled, unknown or internal did not and will not take effect, as long as it was not
// sent before.
//
//	not the leader                  failed_precondition, with a messages.NotLeader detail
//	outcome unknown                 aborted, with a messages.OutcomeUnknown detail
//	overloaded                      resource_exhausted, with a messages.RetryAfter detail
//	too large, rejected, malformed  invalid_argument
//	failed, stopped, not ready      unavailable
//	time is up                      deadline_exceeded, canceled
//
// and of sessions:
//
//	gone                            not_found
//	serial below the lowest         out_of_range
//	too many, beyond the window     resource_exhausted, with a messages.RetryAfter detail
//	applied, answer not kept        data_loss
//
// and of members and leaders:
//
//	refused for now, or for good    invalid_argument
//	not in the group                not_found
//	another change is under way     unavailable
func RPCError(err error) error { return clientport.RPCError(err) }
