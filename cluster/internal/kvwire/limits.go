package kvwire

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Limits of keys and values, in bytes.
const (
	MaxKeyBytes   = 4096
	MaxValueBytes = 1 << 20
)

// Check says what is wrong with a key, or with the values that are to be written or compared there.
func Check(key string, values ...[]byte) error {
	switch {
	case key == "":
		return fmt.Errorf("the key is empty; give one of 1 to %d bytes", MaxKeyBytes)
	case len(key) > MaxKeyBytes:
		return fmt.Errorf("the key has %d bytes; give one of at most %d", len(key), MaxKeyBytes)
	case !utf8.ValidString(key):
		return errors.New("the key is not valid UTF-8 text")
	}
	for _, v := range values {
		if len(v) > MaxValueBytes {
			return fmt.Errorf("the value has %d bytes; give one of at most %d", len(v), MaxValueBytes)
		}
	}
	return nil
}
