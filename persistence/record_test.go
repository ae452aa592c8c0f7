package persistence

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// Whatever bit of whatever record is flipped, the store does not open or the group is not recovered.
func TestNoFlippedBitOfARecordIsTakenForGood(t *testing.T) {
	const g = 1
	for name, k := range map[string][]byte{
		"identity": key(0, kindIdentity), "sequence": key(0, kindSequence), "group": groupKey(g), "hard state": key(g, kindHardState),
		"cut": key(g, kindCompacted), "peer": peerKey(g, "n2"), "block": logKey(g, 12),
	} {
		t.Run(name, func(t *testing.T) {
			length := 1
			for bit := 0; bit < 8*length; bit += 5 {
				fs := damageable(t, g)
				tamper(t, fs, func(db *pebble.DB) error {
					value, closer, err := db.Get(k)
					if err != nil {
						return fmt.Errorf("%s: %w", name, err)
					}
					bad := append([]byte(nil), value...)
					length = len(bad)
					bad[bit/8] ^= 1 << (bit % 8)
					if err := closer.Close(); err != nil {
						return err
					}
					return db.Set(k, bad, nil)
				})
				s, err := Open(dataDir, memOptions(fs))
				if err == nil {
					_, err = s.Recover(g)
					mustClose(t, s)
				}
				if err == nil {
					t.Fatalf("bit %d flipped: accepted", bit)
				}
			}
		})
	}
}
