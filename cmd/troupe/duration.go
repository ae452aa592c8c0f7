package main

import (
	"errors"
	"strconv"
	"time"
)

// seconds is a flag value: a duration such as 10s, or a plain number of seconds.
type seconds time.Duration

// String implements flag.Value.
func (s *seconds) String() string { return time.Duration(*s).String() }

// Set implements flag.Value.
func (s *seconds) Set(text string) error {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		*s = seconds(n * float64(time.Second))
	} else if d, err := time.ParseDuration(text); err == nil {
		*s = seconds(d)
	} else {
		return errors.New("write a duration such as 10s")
	}
	if *s < 0 {
		return errors.New("it must not be negative")
	}
	return nil
}
