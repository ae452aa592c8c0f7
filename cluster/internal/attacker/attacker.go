// Package attacker is an HTTP/2 client for tests that does as it likes.
package attacker

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
)

// Conn is a connection that counts no windows, and reads only when told to. One goroutine writes at a time, and one reads.
type Conn struct {
	net.Conn
	Frames  *http2.Framer
	headers bytes.Buffer
	encoder *hpack.Encoder
	decoder *hpack.Decoder
	next    uint32 // the next stream's id
}

// Dial opens a connection whose peer may send window bytes on each stream.
func Dial(address string, window uint32) (*Conn, error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	a := &Conn{Conn: conn, Frames: http2.NewFramer(conn, conn), next: 1}
	a.encoder, a.decoder = hpack.NewEncoder(&a.headers), hpack.NewDecoder(4096, nil)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		return nil, err
	}
	return a, a.Frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
}

// Begin sends a request's headers. A size of -1 leaves the length of the body open, one of 0 ends the stream.
func (a *Conn) Begin(path string, size int, fields ...string) (stream uint32, err error) {
	a.headers.Reset()
	fields = append([]string{
		":method", "POST", ":scheme", "http", ":authority", "x", ":path", path, "content-type", "application/proto",
	}, fields...)
	if size > 0 {
		fields = append(fields, "content-length", strconv.Itoa(size))
	}
	for i := 0; i < len(fields); i += 2 {
		_ = a.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	stream = a.next
	a.next += 2
	return stream, a.Frames.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: a.headers.Bytes(), EndHeaders: true, EndStream: size == 0,
	})
}

// Send sends a piece of a body.
func (a *Conn) Send(stream uint32, body []byte, last bool) error {
	for len(body) > 16<<10 {
		if err := a.Frames.WriteData(stream, false, body[:16<<10]); err != nil {
			return err
		}
		body = body[16<<10:]
	}
	return a.Frames.WriteData(stream, last, body)
}

// Call sends a whole request.
func (a *Conn) Call(path string, message proto.Message) error {
	body, err := proto.Marshal(message)
	if err != nil {
		return err
	}
	stream, err := a.Begin(path, len(body))
	if err != nil {
		return err
	}
	return a.Send(stream, body, true)
}

// Drain reads until the connection ends, and answers pings. It returns how often the server said what: a status, the code of a reset or
// of its GOAWAY, the error that ended the connection.
func (a *Conn) Drain() (statuses map[string]int) {
	return a.DrainUntil(func(map[string]int) bool { return false })
}

// DrainUntil is Drain that also ends when enough was said.
func (a *Conn) DrainUntil(enough func(statuses map[string]int) bool) (statuses map[string]int) {
	statuses = map[string]int{}
	for !enough(statuses) {
		frame, err := a.Frames.ReadFrame()
		if err != nil {
			statuses[fmt.Sprint("end: ", err)]++
			return statuses
		}
		switch f := frame.(type) {
		case *http2.HeadersFrame:
			fields, _ := a.decoder.DecodeFull(f.HeaderBlockFragment())
			for _, field := range fields {
				if field.Name == ":status" {
					statuses[field.Value]++
				}
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = a.Frames.WritePing(true, f.Data)
			}
		case *http2.RSTStreamFrame:
			statuses[f.ErrCode.String()]++
		case *http2.GoAwayFrame:
			statuses["goaway "+f.ErrCode.String()]++
		}
	}
	return statuses
}

// Zeros are so many zero bytes.
func Zeros(size int64) io.Reader { return io.LimitReader(zeros{}, size) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Gzipped is a body of so many zero bytes, packed.
func Gzipped(size int64) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = io.Copy(w, Zeros(size))
	_ = w.Close()
	return packed.Bytes()
}
