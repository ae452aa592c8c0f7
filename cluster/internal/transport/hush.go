package transport

import (
	"maps"
	"sync"
	"time"
)

const (
	hushTime     = time.Minute
	hushSubjects = 32
)

// A hush keeps the log bounded: it lets a few lines per subject and minute through. Subjects beyond the first 32 of a minute share one
// allowance, since an attacker may choose them.
type hush struct {
	mu     sync.Mutex
	spells map[string]*spell
}

// A spell is a subject's minute.
type spell struct {
	begun time.Time
	lines int
}

// allow says whether there may be one more line about the subject; most is how many there may be in a minute.
func (h *hush) allow(subject string, most int) bool { return h.allowAt(time.Now(), subject, most) }

func (h *hush) allowAt(now time.Time, subject string, most int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.spells[subject]
	if s == nil {
		s = h.add(now, subject)
	}
	if now.Sub(s.begun) >= hushTime {
		*s = spell{begun: now}
	}
	s.lines++
	return s.lines <= most
}

func (h *hush) add(now time.Time, subject string) *spell {
	if h.spells == nil {
		h.spells = map[string]*spell{}
	}
	if len(h.spells) >= hushSubjects {
		maps.DeleteFunc(h.spells, func(_ string, s *spell) bool { return now.Sub(s.begun) >= hushTime })
	}
	if len(h.spells) >= hushSubjects {
		subject = ""
		if s := h.spells[subject]; s != nil {
			return s
		}
	}
	s := &spell{begun: now}
	h.spells[subject] = s
	return s
}
