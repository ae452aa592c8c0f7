package main

import (
	"fmt"
	"time"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/backup"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/screen"
)

// show shows how far something is, on a terminal, until the function that it returns is called.
func show(t *terminal, what string, p *backup.Progress) (stop func()) {
	if !t.outIsTerminal {
		return func() {}
	}
	s := screen.New(t.out, true)
	end := s.Progress(func(time.Duration) string {
		done, size := p.Done.Load(), p.Size.Load()
		if size == 0 {
			return "waiting for the snapshot"
		}
		return fmt.Sprintf("%s: %d of %d MiB", what, done>>20, size>>20)
	})
	return func() {
		end()
		s.Print("") // clears the line
	}
}
