package persistence

import (
	"encoding/binary"
	"errors"

	"google.golang.org/protobuf/proto"
)

// A record is a checksum over its key and contents, and the contents: a message, or a fixed number of bytes. A vote or a cut with a
// flipped bit is worse than none.

var errRecord = errors.New("its checksum is wrong")

// sealRecord returns contents with their checksum before them, in dst's memory if it has enough.
func sealRecord(dst, key, contents []byte) []byte {
	dst = append(append(dst[:0], make([]byte, checksumLen)...), contents...)
	binary.BigEndian.PutUint32(dst, checksum(key, dst))
	return dst
}

// openRecord returns the contents, which alias value.
func openRecord(key, value []byte) ([]byte, error) {
	if len(value) < checksumLen || binary.BigEndian.Uint32(value) != checksum(key, value) {
		return nil, errRecord
	}
	return value[checksumLen:], nil
}

// decodeRecord reads a record that is a message.
func decodeRecord(key, value []byte, m proto.Message) error {
	contents, err := openRecord(key, value)
	if err != nil {
		return err
	}
	return proto.Unmarshal(contents, m)
}

func encodeRecord(key []byte, m proto.Message) ([]byte, error) {
	contents, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	return sealRecord(nil, key, contents), nil
}
