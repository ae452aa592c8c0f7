package actors

import (
	"errors"
	"fmt"
	"iter"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// recording is a view on its way into a file. Its methods run on the archive's executor, a piece at a time.
type recording struct {
	*record
	file *persistence.SnapshotWriter
	next func() ([]byte, error, bool)
	stop func()
	// last: the piece that was written was not a full one, so only the end of the file is left.
	last bool
}

// step writes the next piece. It returns nil until the file is finished, or has failed.
func (r *recording) step(store *persistence.Store) (end *recorded) {
	defer func() {
		if reason := recover(); reason != nil { // the view's own: the state machine did not panic
			end = &recorded{err: fmt.Errorf("the view of the state machine panicked: %v\n%s", reason, stacked(reason).stack)}
		}
		if end != nil && end.err != nil {
			r.abort()
		}
	}()
	if r.file == nil {
		file, err := store.CreateSnapshot(r.number, r.header)
		if err != nil {
			return &recorded{err: err}
		}
		r.file = file
		r.next, r.stop = iter.Pull2(pieces(r.view, r.piece))
	}
	piece, err, more := r.next()
	switch {
	case err != nil:
		return &recorded{err: err}
	case !more:
		return r.finish()
	}
	r.last = len(piece) < r.piece
	if _, err := r.file.Write(piece); err != nil {
		return &recorded{err: err}
	}
	return nil
}

func (r *recording) finish() *recorded {
	snapshot, err := r.file.Finish()
	if err != nil {
		return &recorded{err: err}
	}
	return &recorded{snapshot: snapshot}
}

// abort ends the view's writing and removes the file.
func (r *recording) abort() {
	if r.file != nil {
		defer r.file.Abort()
	}
	if r.stop != nil {
		defer func() { _ = recover() }() // a view that panics because it may not go on
		r.stop()
	}
}

// pieces are what a view writes, in pieces of a size. The view's WriteTo runs on while the next piece is asked for, and rests meanwhile.
func pieces(view View, size int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		p := &pieceWriter{buffer: make([]byte, 0, size), yield: yield}
		_, err := view.WriteTo(p)
		switch {
		case p.ended:
		case err != nil:
			yield(nil, err)
		case len(p.buffer) > 0:
			yield(p.buffer, nil)
		}
	}
}

// pieceWriter gathers pieces.
type pieceWriter struct {
	buffer []byte
	yield  func([]byte, error) bool
	ended  bool // nobody asks for more
}

var errEnded = errors.New("the snapshot is not wanted any more")

func (p *pieceWriter) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		if p.ended {
			return n, errEnded
		}
		k := min(len(b), cap(p.buffer)-len(p.buffer))
		p.buffer = append(p.buffer, b[:k]...)
		n, b = n+k, b[k:]
		if len(p.buffer) == cap(p.buffer) {
			p.ended = !p.yield(p.buffer, nil)
			p.buffer = p.buffer[:0]
		}
	}
	return n, nil
}

// nameOf is what a state machine's snapshots are called by.
func nameOf(m StateMachine) string {
	if named, ok := m.(Named); ok {
		return named.MachineName()
	}
	return fmt.Sprintf("%T", m)
}

// restoreFrom loads a snapshot file.
func restoreFrom(i *interpreter, store *persistence.Store, number persistence.GroupID, snapshot *messages.Snapshot) error {
	file, err := store.OpenSnapshot(number, snapshot)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return i.restore(file.Header(), snapshot.LastIncludedIndex, file)
}
