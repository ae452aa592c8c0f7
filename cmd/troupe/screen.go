package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// screen prints lines with the time since it was made, and below them, on a terminal, one that changes in place. Where there is
// no terminal that one is printed again and again. It is safe for concurrent use.
type screen struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	start    time.Time
	open     bool // a line without an end is on the terminal
}

func newScreen(t *terminal) *screen {
	return &screen{out: t.out, terminal: t.outIsTerminal, start: time.Now()}
}

// say prints a line.
func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	fmt.Fprintf(s.out, "%s  %s\n", s.clock(), fmt.Sprintf(format, args...))
}

// print prints text without the time.
func (s *screen) print(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	fmt.Fprintf(s.out, format, args...)
}

func (s *screen) clock() string { return fmt.Sprintf("%5.1fs", time.Since(s.start).Seconds()) }

// clear removes the changing line. The caller holds mu.
func (s *screen) clear() {
	if s.open {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.open = false
	}
}

func (s *screen) update(text string) {
	if !s.terminal {
		s.say("%s", text)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	fmt.Fprintf(s.out, "%s  %s", s.clock(), text)
	s.open = true
}

// progress shows line, which is told how long ago it was last called, several times a second on a terminal and once otherwise.
// The function that it returns ends that, and may be called again.
func (s *screen) progress(line func(elapsed time.Duration) string) (stop func()) {
	interval := time.Second
	if s.terminal {
		interval = 250 * time.Millisecond
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		before := time.Now()
		for {
			select {
			case now := <-ticker.C:
				s.update(line(now.Sub(before)))
				before = now
			case <-quit:
				return
			}
		}
	}()
	var once sync.Once
	return func() {
		once.Do(func() { close(quit) })
		<-ended
	}
}
