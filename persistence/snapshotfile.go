package persistence

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// A snapshot file is a magic with the number of its format, frames, and a trailer. The first frame is the header, the others are the
// pieces of the state. See doc.go.
const (
	snapshotMagic = "troupe.snapshot\n"
	// Format 1 has no sessions.
	plainSnapshot, sessionsSnapshot = 1, 2
	snapshotFormat                  = sessionsSnapshot

	magicLen   = len(snapshotMagic) + 4
	frameHead  = 4 + 4 // length, CRC-32C
	trailerLen = 4 + 8 + sha256.Size

	maxPiece          = 256 << 10
	maxSnapshotHeader = 1 << 20
)

func appendMagic(b []byte, format uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, snapshotMagic...), format)
}

// formatOf is the lowest that has what the header says.
func formatOf(h *messages.SnapshotHeader) uint32 {
	if h.Sessions {
		return sessionsSnapshot
	}
	return plainSnapshot
}

// appendFrame appends the frame with this number. Its checksum covers the number, so that frames cannot change places.
func appendFrame(b []byte, number uint64, content []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
	b = binary.BigEndian.AppendUint32(b, frameChecksum(number, content))
	return append(b, content...)
}

// appendTrailer appends the trailer but for the digest: an end mark, where the next frame would have its length, and the state's length.
func appendTrailer(b []byte, state uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 0), state)
}

func frameChecksum(number uint64, content []byte) uint32 {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], number)
	return crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, content)
}

// snapshotParser reads and checks a snapshot file, which it is fed in order.
type snapshotParser struct {
	digest hash.Hash // nil: the digest at the end is believed
	header *messages.SnapshotHeader
	begun  bool
	frames uint64
	state  uint64 // bytes so far
	sum    []byte // the digest at the end; nil: the end was not seen yet
}

// next takes the next part off what is left of the file: the magic, a frame or the trailer. It returns the part's length, 0 if more
// bytes are needed, and the piece of the state that it holds.
func (p *snapshotParser) next(rest []byte) (length int, piece []byte, err error) {
	switch {
	case p.sum != nil:
		if len(rest) > 0 {
			return 0, nil, errors.New("it goes on after its end")
		}
	case !p.begun:
		length, err = p.magic(rest)
	case len(rest) >= 4 && p.header != nil && binary.BigEndian.Uint32(rest) == 0:
		return p.trailer(rest)
	case len(rest) >= frameHead:
		length, piece, err = p.frame(rest)
	}
	if p.digest != nil {
		p.digest.Write(rest[:length])
	}
	return length, piece, err
}

func (p *snapshotParser) magic(rest []byte) (int, error) {
	if n := min(len(rest), len(snapshotMagic)); string(rest[:n]) != snapshotMagic[:n] {
		return 0, errors.New("it does not begin as a snapshot does")
	}
	if len(rest) < magicLen {
		return 0, nil
	}
	format := binary.BigEndian.Uint32(rest[len(snapshotMagic):])
	if err := knownSnapshotFormat(format); err != nil {
		return 0, err
	}
	p.begun = true
	return magicLen, nil
}

func knownSnapshotFormat(format uint32) error {
	switch {
	case format > snapshotFormat:
		return say(ErrNewer, "it has format %d, and this troupe knows formats up to %d: start a newer troupe", format, snapshotFormat)
	case format == 0:
		return errors.New("it has no format")
	}
	return nil
}

func (p *snapshotParser) frame(rest []byte) (int, []byte, error) {
	size, limit := binary.BigEndian.Uint32(rest), uint32(maxPiece)
	if p.frames == 0 {
		limit = maxSnapshotHeader
	}
	if size > limit {
		return 0, nil, fmt.Errorf("its part %d is too long", p.frames)
	}
	length := frameHead + int(size)
	if len(rest) < length {
		return 0, nil, nil
	}
	content := rest[frameHead:length]
	if frameChecksum(p.frames, content) != binary.BigEndian.Uint32(rest[4:]) {
		return 0, nil, fmt.Errorf("the checksum of its part %d is wrong", p.frames)
	}
	p.frames++
	if p.frames > 1 {
		p.state += uint64(size)
		return length, content, nil
	}
	header := &messages.SnapshotHeader{}
	if err := proto.Unmarshal(content, header); err != nil {
		return 0, nil, errors.New("its header cannot be decoded")
	}
	if err := knownSnapshotFormat(header.Format); err != nil {
		return 0, nil, err
	}
	p.header = header
	return length, nil, nil
}

func (p *snapshotParser) trailer(rest []byte) (int, []byte, error) {
	if len(rest) < trailerLen {
		return 0, nil, nil
	}
	head, sum := rest[:trailerLen-sha256.Size], rest[trailerLen-sha256.Size:trailerLen]
	if state := binary.BigEndian.Uint64(head[4:]); state != p.state {
		return 0, nil, fmt.Errorf("it has %d bytes of state, not %d", p.state, state)
	}
	if p.digest != nil {
		p.digest.Write(head)
		if string(p.digest.Sum(nil)) != string(sum) {
			return 0, nil, errors.New("its SHA-256 is wrong")
		}
	}
	p.sum = append([]byte{}, sum...)
	return trailerLen, nil, nil
}

// fits compares the header with the pointer: all of a file is compared when the digest is.
func (p *snapshotParser) fits(snapshot *messages.Snapshot) error {
	index, term := snapshot.LastIncludedIndex, snapshot.LastIncludedTerm
	if index == 0 && term == 0 { // the file that a group begins with
		return nil
	}
	if h := p.header; h.LastIncludedIndex != index || h.LastIncludedTerm != term {
		return fmt.Errorf("it is of entry %d of term %d, not of entry %d of term %d", h.LastIncludedIndex, h.LastIncludedTerm, index, term)
	}
	return nil
}
