package persistence

import (
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// corruption is the first table found that is not as it was written. Whoever comes upon one never returns from Pebble: a compaction would
// be tried again for ever.
type corruption struct {
	once  sync.Once
	found chan struct{} // closed when err is set
	err   error
}

func newCorruption() *corruption { return &corruption{found: make(chan struct{})} }

// corrupt is Pebble's listener.
func (s *Store) corrupt(info pebble.DataCorruptionInfo) {
	text := fmt.Sprintf("the file %s is damaged (%v), and nothing more is stored; %s", info.Path, info.Details, leaveAdvice)
	err := &sentence{text: text, kind: ErrFailed, cause: ErrDamaged}
	s.fence.fail(err)
	s.corruption.once.Do(func() {
		s.corruption.err = err
		close(s.corruption.found)
	})
	park()
}

// reading runs work, which may come upon a corruption, and returns its error. Close waits for work.
func (s *Store) reading(work func() error) error {
	if err := s.beginRead(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer s.reads.Done()
		done <- work()
	}()
	select {
	case err := <-done:
		return err
	case <-s.corruption.found:
		return s.corruption.err
	}
}
