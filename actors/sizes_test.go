package actors

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// What a log says of its size, and of its terms, is what a list of its entries says, within a granule: over appends, truncations, cuts and
// restarts.
func TestALogKnowsItsSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type entry struct {
			term  uint64
			bytes int64
		}
		granule := rapid.Int64Range(1, 40).Draw(t, "granule")
		l, model, cut := newLog(persistence.Recovered{}, granule), []entry{}, uint64(0)
		between := func(from, to uint64) (sum int64) {
			for i := from; i < to; i++ {
				sum += model[i].bytes
			}
			return sum
		}
		slack := granule + 20 // a mark comes behind an entry
		term := uint64(1)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				if l.last > cut {
					from := rapid.Uint64Range(cut+1, l.last).Draw(t, "from")
					l.truncate(from)
					model = model[:from-1]
				}
			case 1:
				if l.last > cut {
					cut = rapid.Uint64Range(cut+1, l.last).Draw(t, "to")
					l.cut(cut)
				}
			case 2:
				index := l.last + uint64(rapid.IntRange(1, 9).Draw(t, "ahead"))
				for uint64(len(model)) < index {
					model = append(model, entry{term, 0})
				}
				l.replace(index, term)
				cut = index
			default:
				term += uint64(rapid.IntRange(0, 1).Draw(t, "term"))
				e := make(messages.EncodedEntry, rapid.IntRange(1, 20).Draw(t, "bytes"))
				l.append(term, e)
				model = append(model, entry{term, int64(len(e))})
			}
			if off := l.sizes.total() - between(cut, l.last); off > slack || off < -slack {
				t.Fatalf("%d bytes, not %d", l.sizes.total(), between(cut, l.last))
			}
			for i := cut; i <= l.last && i > 0; i++ {
				if l.term(i) != model[i-1].term {
					t.Fatalf("entry %d is of term %d, not %d; it was cut at %d", i, l.term(i), model[i-1].term, cut)
				}
				if off := l.sizes.between(i, l.last) - between(i, l.last); off > 2*slack || off < -2*slack {
					t.Fatalf("%d bytes behind %d, not %d", l.sizes.between(i, l.last), i, between(i, l.last))
				}
			}
			keep := rapid.Int64Range(1, 300).Draw(t, "keep")
			at := l.sizes.before(keep)
			if at < cut || at > l.last || at > cut && between(at, l.last) < keep-slack {
				t.Fatalf("%d bytes are behind %d, and %d are to be kept", between(at, l.last), at, keep)
			}
		}
	})
}
