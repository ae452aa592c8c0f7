package typed

import "github.com/troupe-raft/troupe/cluster/client"

// Submit is a command as mail for an actor of [client.Spawn] or of a group. The caller may set its other fields. An error says that the
// command has text that is not UTF-8.
func (Protocol[C, R, Q, A]) Submit(command C) (*client.Submit, error) {
	b, err := encode(command)
	if err != nil {
		return nil, err
	}
	return &client.Submit{Command: b}, nil
}

// Query is a query as mail, likewise.
func (Protocol[C, R, Q, A]) Query(query Q) (*client.Query, error) {
	b, err := encode(query)
	if err != nil {
		return nil, err
	}
	return &client.Query{Query: b}, nil
}

// Result is the result in the reply to a [Protocol.Submit], or the reply's error.
func (Protocol[C, R, Q, A]) Result(r *client.Reply) (result R, err error) {
	if r.Err != nil {
		return result, r.Err
	}
	return decodeResult[R](r.Value)
}

// Answer is the answer in the reply to a [Protocol.Query], or the reply's error.
func (Protocol[C, R, Q, A]) Answer(r *client.Reply) (answer A, err error) {
	if r.Err != nil {
		return answer, r.Err
	}
	return decode[A](r.Value)
}
