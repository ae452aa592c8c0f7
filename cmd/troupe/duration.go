package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// seconds is a flag value: a duration such as 10s, or a plain number of seconds.
type seconds time.Duration

// String implements flag.Value.
func (s *seconds) String() string { return time.Duration(*s).String() }

// longest keeps sums of durations from overflowing.
const longest = 1000 * time.Hour

// Set implements flag.Value.
func (s *seconds) Set(text string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		var d time.Duration
		d, err = time.ParseDuration(text)
		n = d.Seconds()
	}
	switch {
	case err != nil || math.IsNaN(n):
		return errors.New("write a duration such as 10s")
	case n < 0:
		return errors.New("it must not be negative")
	case n > longest.Seconds():
		return fmt.Errorf("it must be at most %.0fh", longest.Hours())
	}
	*s = seconds(math.Round(n * float64(time.Second)))
	return nil
}
