package transport

import (
	"slices"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/troupe-raft/troupe/messages"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// What a letter holds. It is small enough to be written soon, so that the peer reads one while the next is made.
const (
	letterMessages = 64
	letterBytes    = 64 << 10 // the message that exceeds it is the last one
	largeEntry     = 8 << 10  // entries of an AppendEntries that are longer are sent from where they are
	prefixBytes    = 16       // room for the tags and lengths of the frame and the batch
	tableBytes     = 512      // room for most letters' types, targets and senders
)

// A letter is a frame to be sent: a RemoteMessage with a MessageBatch, encoded by hand into one buffer. It is reused; its
// buffers belong to gRPC once it was marshalled.
type letter struct {
	envelopes int
	types     []*wireType
	targets   []string
	senders   []*actor.PID
	large     []cut
	buffers   mem.BufferSlice
}

// A cut is a place in a buffer where a large entry belongs.
type cut struct {
	at    int
	entry []byte
}

// write encodes as many of the messages as the letter may hold, and says how many it has looked at. A message that cannot be
// encoded is left out.
//
// The tables come last, since they are known last. Their field numbers are lower, but protobuf allows any order.
func (f *letter) write(mails []mail) (n int) {
	total, copied := 0, prefixBytes+tableBytes
	for n < len(mails) && n < letterMessages && total < letterBytes {
		total += mails[n].size + envelopeBytes
		copied += mails[n].copied() + envelopeBytes
		n++
	}
	f.envelopes, f.types, f.targets, f.senders, f.large = 0, f.types[:0], f.targets[:0], f.senders[:0], f.large[:0]
	buffer := letterPool.Get(copied)
	b := (*buffer)[:prefixBytes]
	for _, m := range mails[:n] {
		if after, ok := f.appendEnvelope(b, m); ok {
			b = after
			f.envelopes++
		}
	}
	for _, t := range f.types {
		b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), t.name)
	}
	for _, t := range f.targets {
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), t)
	}
	for _, s := range f.senders {
		b = protowire.AppendTag(b, 4, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(
			protowire.SizeTag(1)+protowire.SizeBytes(len(s.Address))+protowire.SizeTag(2)+protowire.SizeBytes(len(s.Id))))
		b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), s.Address)
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), s.Id)
	}
	length := len(b) - prefixBytes
	for _, c := range f.large {
		length += len(c.entry)
	}
	f.seal(buffer, b, length)
	return n
}

// seal puts the tag and length of the batch before it, and makes the buffers.
func (f *letter) seal(buffer *[]byte, b []byte, length int) {
	var space [prefixBytes]byte
	prefix := protowire.AppendVarint(protowire.AppendTag(space[:0], 1, protowire.BytesType), uint64(length))
	start := prefixBytes - len(prefix)
	copy(b[start:], prefix)
	*buffer = b
	whole := mem.NewBuffer(buffer, &letterPool)
	f.buffers = make(mem.BufferSlice, 0, 1+2*len(f.large))
	for _, c := range f.large {
		f.buffers = append(f.buffers, whole.Slice(start, c.at), mem.SliceBuffer(c.entry))
		start = c.at
	}
	f.buffers = append(f.buffers, whole.Slice(start, len(b)))
	whole.Free()
	clear(f.large)
}

// appendEnvelope returns b as it was when the message cannot be encoded.
func (f *letter) appendEnvelope(b []byte, m mail) ([]byte, bool) {
	var space [48]byte
	fields := appendNumber(space[:0], 1, f.typeIndex(m.kind))
	fields = appendNumber(fields, 3, f.targetIndex(m.target.Id))
	fields = appendNumber(fields, 4, f.senderIndex(m.sender))
	fields = appendNumber(fields, 7, uint64(m.target.RequestId))
	if m.sender != nil {
		fields = appendNumber(fields, 8, uint64(m.sender.RequestId))
	}
	after := protowire.AppendTag(b, 3, protowire.BytesType)
	after = protowire.AppendVarint(after, uint64(len(fields)+protowire.SizeTag(2)+protowire.SizeBytes(m.size)))
	after = append(after, fields...)
	after = protowire.AppendVarint(protowire.AppendTag(after, 2, protowire.BytesType), uint64(m.size))
	before, cuts := len(after), len(f.large)
	after, err := f.appendMessage(after, m.message)
	size := len(after) - before
	for _, c := range f.large[cuts:] {
		size += len(c.entry)
	}
	if err != nil || size != m.size { // text that is not UTF-8, or a message that changed after it was mailed
		f.large = f.large[:cuts]
		return b, false
	}
	return after, true
}

// copied is how much of the message is copied into a letter.
func (m mail) copied() int {
	n := m.size
	if a, ok := m.message.(*messages.AppendEntries); ok && n > largeEntry {
		for _, e := range a.Entries {
			if len(e) > largeEntry {
				n -= len(e)
			}
		}
	}
	return n
}

// appendMessage leaves large entries out and notes where they belong: they never change, and need not be copied. The gate has
// measured the message, so the sizes that protobuf keeps in it are right. It stores them atomically: two gates may measure at once.
func (f *letter) appendMessage(b []byte, m proto.Message) ([]byte, error) {
	a, _ := m.(*messages.AppendEntries)
	if len(a.GetEntries()) == 0 {
		return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
	}
	b, err := a.MarshalHead(b)
	for _, e := range a.Entries {
		b = messages.MarshalEntryHead(b, e)
		if len(e) > largeEntry {
			f.large = append(f.large, cut{len(b), e})
		} else {
			b = append(b, e...)
		}
	}
	return b, err
}

// The tables are short: most letters have one type, target and sender, or a few.

func (f *letter) typeIndex(t *wireType) uint64 {
	for i, o := range f.types {
		if o == t {
			return uint64(i)
		}
	}
	f.types = append(f.types, t)
	return uint64(len(f.types) - 1)
}

func (f *letter) targetIndex(id string) uint64 {
	for i, o := range f.targets {
		if o == id {
			return uint64(i)
		}
	}
	f.targets = append(f.targets, id)
	return uint64(len(f.targets) - 1)
}

// senderIndex counts from 1; 0 is nobody. All senders have the same address.
func (f *letter) senderIndex(pid *actor.PID) uint64 {
	if pid == nil {
		return 0
	}
	for i, o := range f.senders {
		if o == pid || o.Id == pid.Id {
			return uint64(i + 1)
		}
	}
	f.senders = append(f.senders, pid)
	return uint64(len(f.senders))
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

// letterCodec is the client's codec: a letter is encoded already.
type letterCodec struct{ encoding.CodecV2 }

func newLetterCodec() letterCodec { return letterCodec{encoding.GetCodecV2(protocodec.Name)} }

// Marshal gives away a letter's buffers.
func (c letterCodec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*letter)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	buffers := f.buffers
	f.buffers = nil
	return buffers, nil
}

// A bufferPool keeps the buffers of letters, in a few sizes. gRPC's own pool has nothing between 32 KiB and 1 MiB, and wipes
// what it gives.
type bufferPool [len(bufferSizes)]sync.Pool

var letterPool bufferPool

// bufferSizes: gRPC does not give back what is much shorter than the first. The last holds a full AppendEntries of small entries
// behind others.
var bufferSizes = [...]int{4 << 10, letterBytes + 16<<10, letterBytes + 272<<10}

// Get returns a buffer of at least so many bytes.
func (p *bufferPool) Get(n int) *[]byte {
	i, _ := slices.BinarySearch(bufferSizes[:], n)
	if i < len(bufferSizes) {
		if b, _ := p[i].Get().(*[]byte); b != nil {
			return b
		}
		n = bufferSizes[i]
	}
	b := make([]byte, n)
	return &b
}

// Put takes a buffer back, except a giant.
func (p *bufferPool) Put(b *[]byte) {
	if cap(*b) > 2*bufferSizes[len(bufferSizes)-1] {
		return
	}
	for i, size := range slices.Backward(bufferSizes[:]) {
		if cap(*b) >= size {
			p[i].Put(b)
			return
		}
	}
}
