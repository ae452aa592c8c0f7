package backup

import (
	"io"
	"sync/atomic"
)

// Progress is how many bytes of Size are done. It may be read while it grows.
type Progress struct{ Done, Size atomic.Int64 }

// Watch counts what is read of something whose size is known from its first bytes on.
func (p *Progress) Watch(r interface {
	io.Reader
	Size() uint64
}) io.Reader {
	return readerFunc(func(b []byte) (int, error) {
		n, err := r.Read(b)
		p.Done.Add(int64(n))
		p.Size.Store(int64(r.Size()))
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
