// Package loopback finds addresses for tests.
package loopback

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreeAddress is a loopback address that nobody listens on, and that no other test gets until this one is over: whoever holds the port for
// UDP has it. The port is below those that the system gives to connections and to listeners that ask for any port, so that a node that
// restarts finds it free again; and below those of the examples and of troupe's processes.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(5_000))
		held, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			_ = held.Close()
			continue
		}
		_ = l.Close()
		t.Cleanup(func() { _ = held.Close() })
		return address
	}
	t.Fatal("no free port")
	return ""
}
