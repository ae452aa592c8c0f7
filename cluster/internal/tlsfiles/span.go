package tlsfiles

import (
	"fmt"
	"time"
)

// A span is how long the certificates of a file are valid.
type span struct {
	file        string
	from, until time.Time
}

// outlasts prefers what is valid now.
func (s span) outlasts(o span, now time.Time) bool {
	if valid, other := s.check(now) == nil, !o.until.IsZero() && o.check(now) == nil; valid != other {
		return valid
	}
	return s.until.After(o.until)
}

func (s span) check(now time.Time) error {
	if now.After(s.until) {
		return fmt.Errorf("the certificate in %s expired on %s: give one that is valid", s.file, date(s.until))
	}
	if now.Before(s.from) {
		return fmt.Errorf("the certificate in %s is not valid before %s: give one that is valid, or check this machine's clock",
			s.file, date(s.from))
	}
	return nil
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
