// Package bench is what troupe bench measures, with one type for each mode.
package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// Mode is one way to measure a cluster.
type Mode interface {
	// Check says what is wrong with the mode's options, in the words of the flags of troupe bench.
	Check() error
	// Run measures and prints. When ctx is done it ends early with ctx's error. It removes the data that it made.
	Run(ctx context.Context, out Output) error
}

// Output is where a mode prints.
type Output struct {
	Results io.Writer
	// Progress takes sentences for people, about what goes on.
	Progress io.Writer
	// JSON prints a result as one line of JSON, and not as sentences.
	JSON bool
}

// result is what a mode prints; its JSON is that of its type.
type result interface {
	sentences() string
}

func (o Output) print(r result) error {
	if o.JSON {
		return json.NewEncoder(o.Results).Encode(r)
	}
	_, err := io.WriteString(o.Results, r.sentences())
	return err
}

// say tells people what goes on.
func (o Output) say(format string, args ...any) {
	fmt.Fprintf(o.Progress, format+"\n", args...)
}

// Window is the time of a measurement.
type Window struct {
	Warmup  time.Duration // runs before, and is not counted
	Measure time.Duration
}

// Check says what is wrong.
func (w Window) Check() error {
	if w.Measure <= 0 {
		return fmt.Errorf("--duration must be more than 0")
	}
	return nil
}

// microseconds are a duration as JSON shows it.
type microseconds float64

func microsecondsOf(d time.Duration) microseconds {
	return microseconds(d) / microseconds(time.Microsecond)
}

// String is for people.
func (m microseconds) String() string {
	return time.Duration(float64(m) * float64(time.Microsecond)).Round(time.Microsecond).String()
}

func mebibytes(n uint64) float64 { return float64(n) / (1 << 20) }
func gibibytes(n uint64) float64 { return float64(n) / (1 << 30) }

// oneLine is an error's text, "" when there is none.
func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
}
