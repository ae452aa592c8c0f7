package simulate

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster/simulation"
)

// What --json prints has the names that the help gives.
func TestSimulateJSON(t *testing.T) {
	for _, failure := range []*simulation.Failure{nil, {Sentence: "s", Detail: "d", Last: []string{"l"}}} {
		o := simulation.Options{Seed: 1, Nodes: 3, Groups: 2, Clients: 6, Steps: 20000}
		r := simulation.Result{Options: o, Steps: 9, Virtual: 1500 * time.Millisecond, Committed: 7, Completed: 5,
			Snapshots: 4, Cuts: 3, Installs: 2, Repeats: 1, Pulses: 8,
			Hits: map[simulation.Fault]int{simulation.Kill: 2}, Failure: failure}
		line, err := json.Marshal(toJSON(r))
		if err != nil {
			t.Fatal(err)
		}
		want := `{"seed":1,"nodes":3,"groups":2,"clients":6,"steps":9,"virtual_seconds":1.5,"committed":7,"completed":5,` +
			`"snapshots":4,"cuts":3,"installs":2,"repeats":1,"pulses":8,"hits":{"kill":2},"hash":"0"`
		if failure != nil {
			want += `,"failure":{"sentence":"s","detail":"d","last":["l"]}`
		}
		if string(line) != want+"}" {
			t.Fatalf("%s\nnot\n%s}", line, want)
		}
		var back simulation.Result
		failed, err := decodeResults(bytes.NewReader(line), simulation.Options{Steps: 20000}, func(r simulation.Result) { back = r })
		if err != nil || failed != (failure != nil) || !reflect.DeepEqual(back, r) {
			t.Fatalf("%v %v: %+v, not %+v", failed, err, back, r)
		}
	}
}
