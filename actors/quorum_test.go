package actors

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestQuorums reads a small language and draws what it says. Two sets of voters are joined by +.
//
//	committed a,b,c a=4 b=7     up to where the voters match the leader's log
//	votes a,b,c+c,d a=yes b=no  who granted its vote, and who denied it
//	heard a,b,c a b             who was heard
func TestQuorums(t *testing.T) {
	datadriven.RunTest(t, "testdata/quorum/quorum.txt", func(t *testing.T, d *datadriven.TestData) string {
		var q Quorum
		for _, set := range strings.Split(d.CmdArgs[0].Key, "+") {
			q = append(q, strings.Split(set, ","))
		}
		said := map[string]string{}
		for _, arg := range d.CmdArgs[1:] {
			said[arg.Key] = strings.Join(arg.Vals, "")
		}
		drawing, result := drawers[d.Cmd](q, said)
		everybody := slices.Concat(q...)
		slices.Sort(everybody)
		text := ""
		for _, id := range slices.Compact(everybody) {
			text += fmt.Sprintf("%s %-4s %s\n", id, sides(q, id), drawing(id))
		}
		return text + result + "\n"
	})
}

// sides says in which of the sets a voter is.
func sides(q Quorum, id string) string {
	text := ""
	for i, set := range q {
		if slices.Contains(set, id) {
			text += strconv.Itoa(i + 1)
		}
	}
	return text
}

var drawers = map[string]func(q Quorum, said map[string]string) (func(id string) string, string){
	"committed": func(q Quorum, said map[string]string) (func(string) string, string) {
		match := func(id string) uint64 { n, _ := strconv.ParseUint(said[id], 10, 64); return n }
		n := q.Committed(match)
		return func(id string) string {
			return strings.Repeat("=", int(min(match(id), n))) + strings.Repeat("-", int(match(id)-min(match(id), n))) + ">"
		}, fmt.Sprintf("committed %d", n)
	},
	"votes": func(q Quorum, said map[string]string) (func(string) string, string) {
		votes := map[string]bool{}
		for id, vote := range said {
			votes[id] = vote == "yes"
		}
		return func(id string) string { return said[id] }, fmt.Sprintf("won %v, lost %v", q.Won(votes), q.Lost(votes))
	},
	"heard": func(q Quorum, said map[string]string) (func(string) string, string) {
		heard := func(id string) bool { _, heard := said[id]; return heard }
		return func(id string) string { return map[bool]string{true: "heard"}[heard(id)] }, fmt.Sprintf("enough: %v", q.Heard(heard))
	},
}

// All pairs of sets of up to 5 voters, with all overlaps, and all that their voters can have said, against the definition of a
// majority (C-03).
func TestQuorumsAreMajoritiesOfEachSet(t *testing.T) {
	largest := 5
	if testing.Short() {
		largest = 4
	}
	for a := 1; a <= largest; a++ {
		for b := 0; b <= largest; b++ {
			for common := 0; common <= min(a, b); common++ {
				checkAllSayings(t, pool[:a], pool[a-common:][:b])
			}
		}
	}
}

var pool = []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}

// checkAllSayings lets every voter say 0, 1 or 2: an index; or no vote, a vote denied, a vote granted.
func checkAllSayings(t *testing.T, incoming, outgoing []string) {
	q := Quorum{incoming}
	if len(outgoing) > 0 {
		q = append(q, outgoing)
	}
	n := max(reach(incoming), reach(outgoing))
	said := make([]uint64, n)
	votes := map[string]bool{}
	for {
		clear(votes)
		for i, what := range said {
			if what > 0 {
				votes[pool[i]] = what == 2
			}
		}
		model := majoritiesModel{q, said}
		match := func(id string) uint64 { return said[id[0]-'a'] }
		if got, want := q.Committed(match), model.committed(); got != want {
			t.Fatalf("%v, %v: committed %d, not %d", q, said, got, want)
		}
		won, lost := model.all(func(what uint64) bool { return what == 2 }), !model.all(func(what uint64) bool { return what != 1 })
		if q.Won(votes) != won || q.Lost(votes) != lost {
			t.Fatalf("%v, %v: won %v and lost %v, not %v and %v", q, said, q.Won(votes), q.Lost(votes), won, lost)
		}
		if heard := q.Heard(func(id string) bool { return match(id) > 0 }); heard != model.all(func(what uint64) bool { return what > 0 }) {
			t.Fatalf("%v, %v: heard enough: %v", q, said, heard)
		}
		i := 0
		for ; i < n && said[i] == 2; i++ {
			said[i] = 0
		}
		if i == n {
			return
		}
		said[i]++
	}
}

// reach is how far a set reaches into the pool.
func reach(set []string) int {
	if len(set) == 0 {
		return 0
	}
	return slices.Index(pool, set[len(set)-1]) + 1
}

type majoritiesModel struct {
	sets Quorum
	said []uint64
}

// all says whether more than half of each set said so.
func (m majoritiesModel) all(so func(uint64) bool) bool {
	for _, set := range m.sets {
		n := 0
		for _, id := range set {
			if so(m.said[id[0]-'a']) {
				n++
			}
		}
		if 2*n <= len(set) {
			return false
		}
	}
	return true
}

func (m majoritiesModel) committed() uint64 {
	for n := uint64(2); n > 0; n-- {
		if m.all(func(what uint64) bool { return what >= n }) {
			return n
		}
	}
	return 0
}

func TestAQuorumOfNobodyDecidesNothing(t *testing.T) {
	var q Quorum
	if q.Committed(func(string) uint64 { return 7 }) != 0 || q.Won(nil) || !q.Lost(nil) || q.Heard(func(string) bool { return true }) {
		t.Error("nobody decides")
	}
}

func TestUnanimityNeedsEverybody(t *testing.T) {
	q := unanimous(testMembers(3))
	votes := map[string]bool{"n1": true, "n2": true}
	if q.Won(votes) || q.Lost(votes) {
		t.Error("two of three decide")
	}
	if votes["n3"] = false; q.Won(votes) || !q.Lost(votes) {
		t.Error("one that is against it does not")
	}
	if votes["n3"] = true; !q.Won(votes) {
		t.Error("all three do not")
	}
}
