package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
)

// size is a flag value: a number of bytes, such as 64MiB.
type size int64

// units from the largest to the smallest.
var units = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// String implements flag.Value: in the largest unit of which it has a whole number.
func (s *size) String() string {
	for _, u := range units {
		if *s != 0 && int64(*s)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(*s)/u.bytes, u.name)
		}
	}
	return "0"
}

var sizeText = regexp.MustCompile(`^(\d+)([A-Za-z]+)$`)

// Set implements flag.Value.
func (s *size) Set(text string) error {
	if text == "0" {
		*s = 0
		return nil
	}
	m := sizeText.FindStringSubmatch(text)
	if m == nil {
		return errors.New("write a size such as 64MiB")
	}
	for _, u := range units {
		if u.name != m[2] {
			continue
		}
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || n > math.MaxInt64/u.bytes {
			return errors.New("it is too large")
		}
		*s = size(n * u.bytes)
		return nil
	}
	return errors.New("the units of sizes are B, KiB, MiB, GiB and TiB")
}
