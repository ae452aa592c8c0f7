package clientport

import (
	"bufio"
	"encoding/binary"
	"io"
	"net/http"

	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// streamBody is the body of a visit that is an Exchange: messages without end. In all of Connect's protocols each has five bytes before
// it, the last four of which are its length. It takes room for each message before it is read.
type streamBody struct {
	io.Closer
	reader  *bufio.Reader
	visit   *visit
	require func(size int64) error

	prefix [5]byte
	have   int   // of the prefix
	left   int64 // of the message
	err    error
}

// streamBuffer is what is read at a time.
const streamBuffer = 16 << 10

func isExchange(r *http.Request) bool {
	return r.URL.Path == messagesconnect.GroupExchangeProcedure && r.Method == http.MethodPost && r.ProtoMajor > 1
}

func newStreamBody(v *visit) *streamBody {
	return &streamBody{Closer: v.r.Body, reader: bufio.NewReaderSize(v.r.Body, streamBuffer), visit: v}
}

func (b *streamBody) Read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.left == 0 {
		n, err = b.reader.Read(p[:min(len(p), len(b.prefix)-b.have)])
		b.have += copy(b.prefix[b.have:], p[:n])
		if b.have == len(b.prefix) {
			b.have, b.left = 0, int64(binary.BigEndian.Uint32(b.prefix[1:]))
			if b.err = b.admit(); b.err != nil {
				return 0, b.err
			}
		}
	} else {
		n, err = b.reader.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
	}
	if err != nil && err != io.EOF && b.visit.interrupted() != nil {
		err = b.visit.interrupted()
	}
	b.err = err
	return n, err
}

func (b *streamBody) admit() error {
	if b.left > maxRequestBytes {
		return RPCError(errTooLarge)
	}
	if b.require == nil { // its handler was not reached
		return nil
	}
	return b.require(b.left)
}
