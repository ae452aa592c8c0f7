// Package hush keeps logs bounded.
package hush

import (
	"maps"
	"sync"
	"time"
)

const (
	// Time is how long an allowance lasts.
	Time     = time.Minute
	subjects = 32

	clipBytes = 300
)

// Hush lets a few lines per subject and minute through. Subjects beyond the first 32 of a minute share one allowance, since an attacker
// may choose them. The zero value has let none through yet. It is safe for concurrent use.
type Hush struct {
	mu     sync.Mutex
	spells map[string]*spell
}

// A spell is a subject's minute.
type spell struct {
	begun time.Time
	lines int
}

// Allow says whether there may be one more line about the subject; most is how many there may be in a minute.
func (h *Hush) Allow(subject string, most int) bool { return h.AllowAt(time.Now(), subject, most) }

// AllowAt is Allow at another time than now.
func (h *Hush) AllowAt(now time.Time, subject string, most int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.spells[subject]
	if s == nil {
		s = h.add(now, subject)
	}
	if now.Sub(s.begun) >= Time {
		*s = spell{begun: now}
	}
	s.lines++
	return s.lines <= most
}

func (h *Hush) add(now time.Time, subject string) *spell {
	if h.spells == nil {
		h.spells = map[string]*spell{}
	}
	if len(h.spells) >= subjects {
		maps.DeleteFunc(h.spells, func(_ string, s *spell) bool { return now.Sub(s.begun) >= Time })
	}
	if len(h.spells) >= subjects {
		subject = ""
		if s := h.spells[subject]; s != nil {
			return s
		}
	}
	s := &spell{begun: now}
	h.spells[subject] = s
	return s
}

// Clip bounds what the other side may have chosen of a line.
func Clip(text string) string {
	if len(text) > clipBytes {
		return text[:clipBytes] + "..."
	}
	return text
}
