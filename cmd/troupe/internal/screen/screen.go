// Package screen prints what a command does while it does it.
package screen

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Screen prints lines with the time since it was made, and below them, on a terminal, one that changes in place. Where there is
// no terminal that one is printed again and again. It is safe for concurrent use.
type Screen struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	start    time.Time
	open     bool // a line without an end is on the terminal
}

// New begins to count the time. Terminal says whether out is one.
func New(out io.Writer, terminal bool) *Screen {
	return &Screen{out: out, terminal: terminal, start: time.Now()}
}

// Say prints a line.
func (s *Screen) Say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	fmt.Fprintf(s.out, "%s  %s\n", s.clock(), fmt.Sprintf(format, args...))
}

// Print prints text without the time.
func (s *Screen) Print(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	fmt.Fprintf(s.out, format, args...)
}

func (s *Screen) clock() string { return fmt.Sprintf("%5.1fs", time.Since(s.start).Seconds()) }

// clear removes the changing line. The caller holds mu.
func (s *Screen) clear() {
	if s.open {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.open = false
	}
}

func (s *Screen) update(text string) {
	if !s.terminal {
		s.Say("%s", text)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	fmt.Fprintf(s.out, "%s  %s", s.clock(), text)
	s.open = true
}

// Progress shows line, which is told how long ago it was last called, several times a second on a terminal and once otherwise.
// The function that it returns ends that, and may be called again.
func (s *Screen) Progress(line func(elapsed time.Duration) string) (stop func()) {
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
