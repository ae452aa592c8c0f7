// Package loopback finds addresses for tests.
package loopback

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreeAddress is a loopback address that nobody listened on a moment ago. Its port is below those that the system gives to
// connections and to listeners that ask for any port, so that a node that restarts finds it free again; and below those of the
// examples and of troupe's processes.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(5_000)))
		if err == nil {
			_ = l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}
