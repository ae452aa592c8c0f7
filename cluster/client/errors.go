package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
)

// What a call can end with besides its result. After any error but ErrOutcomeUnknown and ErrAnswerNotKept a
// write did not and will not take effect.
var (
	// ErrOutcomeUnknown: the write reached a server, or may have, and nobody said what became of it.
	ErrOutcomeUnknown = errors.New("the outcome is unknown: the write may or may not take effect")
	// ErrUnavailable: no server did it before the context was done.
	ErrUnavailable = errors.New("the cluster is unavailable")
	// ErrInvalid: the servers will never accept this request, for example because its value is too large.
	ErrInvalid = errors.New("the request is invalid")
	// ErrRejected: the state machine itself refuses the command, on every node. It is an ErrInvalid.
	ErrRejected = errors.New("the state machine rejected the command")
	// ErrAnswerNotKept: the write took effect, once, and its answer is not known any more.
	ErrAnswerNotKept = errors.New("the write took effect, and its answer was not kept")
	// ErrOverloaded: the client has too many calls under way.
	ErrOverloaded = errors.New("the client is overloaded: wait for calls under way")
	// ErrNoEndpoints: the client was given no addresses.
	ErrNoEndpoints = errors.New("no endpoints are given: name the client address of at least one node, host:port")
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("the client is closed")
)

// callError is one sentence. errors.Is and errors.As find its kind and its cause.
type callError struct {
	text        string
	kind, cause error
}

func (e *callError) Error() string   { return e.text }
func (e *callError) Unwrap() []error { return []error{e.kind, e.cause} }

func outcomeUnknown(address string, cause error) error {
	return &callError{
		text: fmt.Sprintf("the outcome is unknown (%s: %s): the write may or may not take effect; read the key before you repeat it",
			address, sentence(cause)),
		kind:  ErrOutcomeUnknown,
		cause: cause,
	}
}

func unavailable(ctx context.Context, after time.Duration, address string, last error) error {
	after = after.Round(10 * time.Millisecond)
	cause := ctx.Err()
	if cause == nil { // the call stopped just before its deadline
		cause = context.DeadlineExceeded
	}
	if last == nil {
		return &callError{
			text:  fmt.Sprintf("no server could be asked within %v: give it more time", after),
			kind:  ErrUnavailable,
			cause: cause,
		}
	}
	advice := ": check the endpoints, and that a majority of the nodes runs"
	if connect.IsWireError(last) { // the server said what is wrong
		advice = ""
	}
	if address != "" {
		address = ", " + address
	}
	return &callError{
		text:  fmt.Sprintf("no server did it within %v (last%s: %s)%s", after, address, sentence(last), advice),
		kind:  ErrUnavailable,
		cause: errors.Join(cause, last),
	}
}

func invalid(cause error) *callError {
	return &callError{text: sentence(cause), kind: ErrInvalid, cause: cause}
}

// hopeless is for servers none of which this client can speak to. Certificates may be replaced: the request itself is good.
func hopeless(cause error) error {
	err := invalid(cause)
	var secure *tlsError
	if errors.As(cause, &secure) {
		err.kind = ErrUnavailable
	}
	err.cause = errors.Join(errHopeless, cause)
	return err
}

// errHopeless is in errors that nobody should wait for the end of.
var errHopeless = errors.New("this client can speak to none of the servers")

// sentence is an error's text without the wrapping that says the same again.
func sentence(err error) string {
	var dial *dialError
	if errors.As(err, &dial) {
		return dial.Error()
	}
	var peerPort *peerPortError
	if errors.As(err, &peerPort) {
		return peerPort.Error()
	}
	var secure *tlsError
	if errors.As(err, &secure) {
		return secure.Error()
	}
	var e *connect.Error
	switch {
	case connect.IsWireError(err) && errors.As(err, &e) && e.Message() != context.DeadlineExceeded.Error(): // the server's own word
		return e.Message()
	case errors.Is(err, context.DeadlineExceeded) || connect.CodeOf(err) == connect.CodeDeadlineExceeded:
		return "no answer in time"
	case errors.As(err, &e):
		return e.Message()
	}
	return err.Error()
}
