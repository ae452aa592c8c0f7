package loopback

import "testing"

// A node that was stopped starts again at its address, though other tests look for one meanwhile.
func TestAnAddressIsGivenOnce(t *testing.T) {
	given := map[string]bool{}
	for range 300 {
		address := FreeAddress(t)
		if given[address] {
			t.Fatalf("%s is given twice", address)
		}
		given[address] = true
	}
}
