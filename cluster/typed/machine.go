package typed

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/actors"
)

// Machine is a state machine over messages. One actor calls it, as [actors.StateMachine] says; what is said there of Snapshot and Restore
// holds here, and of [actors.Concurrent]. Messages belong to who gets them.
type Machine[Command, Result, Query, Answer proto.Message] interface {
	// Apply applies one command, in log order. It must be deterministic: the same commands give the same results on every node. An error is
	// a rejection, replicated like any result, and must have the same text on every node; the caller gets it as an
	// [*actors.RejectedError]. A result whose text is not UTF-8 cannot be sent: its command took effect all the same, and the caller gets
	// an [actors.ErrAnswerNotKept].
	Apply(Command) (Result, error)
	// Query answers a read. It must not change the state.
	Query(context.Context, Query) (Answer, error)
	Snapshot() (actors.View, error)
	Restore(io.Reader) error
}

// StateMachine is what a group replicates. It rejects bytes that are no command, or have fields that this build does not know: before
// clients use a new field, all nodes must have it. Snapshots carry the name of the machine, if it is [actors.Named], otherwise that of its
// Go type.
func (Protocol[C, R, Q, A]) StateMachine(m Machine[C, R, Q, A]) actors.StateMachine {
	return &stateMachine[C, R, Q, A]{machine: m}
}

type stateMachine[C, R, Q, A proto.Message] struct {
	machine Machine[C, R, Q, A]
	results []actors.Result
}

var _ actors.Named = (*stateMachine[proto.Message, proto.Message, proto.Message, proto.Message])(nil)

// MachineName implements actors.Named.
func (s *stateMachine[C, R, Q, A]) MachineName() string {
	if named, ok := s.machine.(actors.Named); ok {
		return named.MachineName()
	}
	return fmt.Sprintf("%T", s.machine)
}

// ConcurrentQuery implements actors.Concurrent.
func (s *stateMachine[C, R, Q, A]) ConcurrentQuery() bool {
	c, ok := s.machine.(actors.Concurrent)
	return ok && c.ConcurrentQuery()
}

// Apply implements actors.StateMachine.
func (s *stateMachine[C, R, Q, A]) Apply(entries []actors.Entry) []actors.Result {
	s.results = s.results[:0]
	for _, entry := range entries {
		value, err := s.apply(entry.Command)
		s.results = append(s.results, actors.Result{Value: value, Err: err})
	}
	return s.results
}

// noResult stands for a result that cannot be encoded. It is no message: none has a field with the number 0.
var noResult = []byte{0}

func (s *stateMachine[C, R, Q, A]) apply(b []byte) ([]byte, error) {
	command, err := decodeKnown[C](b)
	if err != nil {
		return nil, err
	}
	result, err := s.machine.Apply(command)
	if err != nil {
		return nil, err
	}
	value, err := encode(result)
	if err != nil {
		return noResult, nil // it took effect
	}
	return value, nil
}

// Query implements actors.StateMachine.
func (s *stateMachine[C, R, Q, A]) Query(ctx context.Context, b []byte) ([]byte, error) {
	query, err := decodeKnown[Q](b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", actors.ErrMalformedRead, err)
	}
	answer, err := s.machine.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	return encode(answer)
}

// Snapshot implements actors.StateMachine.
func (s *stateMachine[C, R, Q, A]) Snapshot() (actors.View, error) { return s.machine.Snapshot() }

// Restore implements actors.StateMachine.
func (s *stateMachine[C, R, Q, A]) Restore(r io.Reader) error { return s.machine.Restore(r) }
