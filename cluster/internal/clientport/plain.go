package clientport

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// plainAdvice is for clients, in the words of their protocol.
const plainAdvice = "this port speaks TLS: use https, and trust the authority that signed its certificate"

// isPlain says whether what a client sends first is HTTP without TLS, which begins with a method in capitals.
func isPlain(first []byte) bool { return len(first) > 0 && first[0] >= 'A' && first[0] <= 'Z' }

// wantsTLS is the answer to it.
func wantsTLS(first []byte) []byte {
	if bytes.HasPrefix(first, []byte("PRI")) {
		return http2Farewell()
	}
	return fmt.Appendf(nil, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"+
		"Connection: close\r\n\r\n%s\n", len(plainAdvice)+1, plainAdvice)
}

// http2Farewell is a SETTINGS frame, with which a server begins, and a GOAWAY frame with the advice (RFC 9113, 6.5 and 6.8). Package
// client knows it by the frames' types and the error.
func http2Farewell() []byte {
	const frameSettings, frameGoAway, inadequateSecurity = 4, 7, 0xc
	b := []byte{0, 0, 0, frameSettings, 0, 0, 0, 0, 0}
	b = append(b, 0, 0, byte(8+len(plainAdvice)), frameGoAway, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, 0) // no stream was looked at
	b = binary.BigEndian.AppendUint32(b, inadequateSecurity)
	return append(b, plainAdvice...)
}
