// Package typed is for state machines that speak protobuf: the compiler checks what they are told and what they answer.
//
// A [Protocol] names the four types of a state machine, once. It makes the machine that a group replicates, callers of a group or of a
// client, and mail for their actors:
//
//	var bank = typed.Protocol[*Command, *Result, *Query, *Answer]{}
//
//	group, err := node.StartGroup(ctx, "bank", members, bank.StateMachine(ledger))
//	result, err := bank.At(group).Propose(ctx, &Command{...})
//	answer, err := bank.Through(client, "bank").Read(ctx, &Query{...})
//
// Actors of the application send plain messages to an actor of [Protocol.Spawn], and get plain messages or an error back:
//
//	teller, err := bank.Spawn(system, group.PID(), typed.Mailing{})
//	reply, err := system.Root.RequestFuture(teller, &Command{...}, 10*time.Second).Result() // a *Result or an error
package typed

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/client"
)

// Protocol is what a state machine speaks: its commands with their results, and its queries with their answers. All are pointers to
// generated messages. It has no state.
type Protocol[Command, Result, Query, Answer proto.Message] struct{}

// ErrNoSuchMessage is in the errors about bytes that are no message of the type that was to be expected. A group rejects such commands; of
// a rejection that comes from another node or from a session only the text is left.
var ErrNoSuchMessage = errors.New("the bytes are no such message")

// noSuchMessage has the same text on every node: what protobuf says differs from build to build.
func noSuchMessage(m proto.Message) error {
	return fmt.Errorf("%w: no %s", ErrNoSuchMessage, m.ProtoReflect().Descriptor().FullName())
}

// encode gives equal messages equal bytes: results are replicated.
func encode(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

func decode[M proto.Message](b []byte) (M, error) {
	var none M
	m := none.ProtoReflect().New().Interface().(M)
	if err := proto.Unmarshal(b, m); err != nil {
		return none, noSuchMessage(m)
	}
	return m, nil
}

// decodeResult is for results: their commands took effect, also when nobody can read them.
func decodeResult[R proto.Message](b []byte) (R, error) {
	result, err := decode[R](b)
	if err != nil {
		err = &resultError{err}
	}
	return result, err
}

// resultError is of a command that took effect.
type resultError struct{ err error }

func (e *resultError) Error() string {
	return "the command took effect, and its result cannot be read: " + e.err.Error()
}

func (e *resultError) Unwrap() []error {
	return []error{actors.ErrAnswerNotKept, client.ErrAnswerNotKept, e.err}
}

// decodeKnown takes a message only if all of it is known here: nothing of a command may be left out in silence.
func decodeKnown[M proto.Message](b []byte) (M, error) {
	m, err := decode[M](b)
	if err == nil && hasUnknown(m.ProtoReflect()) {
		err = noSuchMessage(m)
	}
	return m, err
}

// hasUnknown says whether a message has a field that its type does not have.
func hasUnknown(m protoreflect.Message) (found bool) {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	look := func(v protoreflect.Value) bool {
		found = hasUnknown(v.Message())
		return !found
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsMap():
			if field.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { return look(v) })
			}
		case field.Message() == nil:
		case field.IsList():
			for i := 0; i < v.List().Len() && look(v.List().Get(i)); i++ {
			}
		default:
			look(v)
		}
		return !found
	})
	return found
}
