package clientport

import (
	"compress/gzip"
	"io"

	"connectrpc.com/connect"
)

func newPacker() connect.Compressor { return gzip.NewWriter(io.Discard) }

// unpacker ends when a request unpacks to too much. Connect's own bound would unpack all of it, to say its size.
type unpacker struct {
	gzip.Reader
	left int
}

func (u *unpacker) Reset(r io.Reader) error {
	u.left = maxRequestBytes
	return u.Reader.Reset(r)
}

func (u *unpacker) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if u.left -= n; u.left < 0 {
		return 0, connect.NewError(connect.CodeInvalidArgument, errTooLarge)
	}
	return n, err
}
