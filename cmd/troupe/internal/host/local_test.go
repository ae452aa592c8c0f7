package host

import (
	"context"
	"net"
	"testing"
	"time"
)

// Nodes of one command listen at their addresses a moment after they were chosen, and again after a restart; another command looks for
// addresses meanwhile.
func TestAFreeAddressIsGivenOnceUntilItsContextIsDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	given := map[string]bool{}
	for range 60 {
		addresses, err := FreeAddresses(ctx, 6)
		if err != nil {
			t.Fatal(err)
		}
		for _, address := range addresses {
			if given[address] {
				t.Fatalf("%s is given twice", address)
			}
			given[address] = true
			listener, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatalf("a node could not listen: %v", err)
			}
			_ = listener.Close()
		}
	}
	cancel()
	end := time.Now().Add(10 * time.Second)
	for address := range given {
		held, err := net.ListenPacket("udp", address)
		for ; err != nil; held, err = net.ListenPacket("udp", address) {
			if time.Now().After(end) {
				t.Fatalf("%s is held though its context is done: %v", address, err)
			}
			time.Sleep(time.Millisecond)
		}
		_ = held.Close()
	}
}
