package simulate

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/troupe-raft/troupe/cluster/simulation"
)

// seedJSON is what --json prints of a seed.
type seedJSON struct {
	Seed      uint64                   `json:"seed"`
	Nodes     int                      `json:"nodes"`
	Groups    int                      `json:"groups"`
	Clients   int                      `json:"clients"`
	Steps     int                      `json:"steps"`
	Virtual   float64                  `json:"virtual_seconds"`
	Committed int                      `json:"committed"`
	Completed int                      `json:"completed"`
	Snapshots int                      `json:"snapshots"`
	Cuts      int                      `json:"cuts"`
	Installs  int                      `json:"installs"`
	Repeats   int                      `json:"repeats"`
	Pulses    int                      `json:"pulses"`
	Hits      map[simulation.Fault]int `json:"hits"`
	Hash      string                   `json:"hash"` // of 64 bits: more than a number of JSON holds everywhere
	Failure   *failureJSON             `json:"failure,omitempty"`
}

type failureJSON struct {
	Sentence string   `json:"sentence"`
	Detail   string   `json:"detail"`
	Last     []string `json:"last"`
}

func toJSON(r simulation.Result) seedJSON {
	o := r.Options
	s := seedJSON{
		Seed: o.Seed, Nodes: o.Nodes, Groups: o.Groups, Clients: o.Clients, Steps: r.Steps, Virtual: r.Virtual.Seconds(),
		Committed: r.Committed, Completed: r.Completed, Snapshots: r.Snapshots, Cuts: r.Cuts, Installs: r.Installs,
		Repeats: r.Repeats, Pulses: r.Pulses, Hits: r.Hits, Hash: strconv.FormatUint(r.Hash, 16),
	}
	if f := r.Failure; f != nil {
		s.Failure = &failureJSON{f.Sentence, f.Detail, f.Last}
	}
	return s
}

// result is that of a run with these options, as another process printed it.
func (s seedJSON) result(options simulation.Options) simulation.Result {
	options.Seed, options.Nodes, options.Groups, options.Clients = s.Seed, s.Nodes, s.Groups, s.Clients
	r := simulation.Result{
		Options: options, Steps: s.Steps, Virtual: time.Duration(s.Virtual * float64(time.Second)),
		Committed: s.Committed, Completed: s.Completed, Snapshots: s.Snapshots, Cuts: s.Cuts, Installs: s.Installs, Repeats: s.Repeats,
		Pulses: s.Pulses, Hits: s.Hits,
	}
	if f := s.Failure; f != nil {
		r.Failure = &simulation.Failure{Sentence: f.Sentence, Detail: f.Detail, Last: f.Last}
	}
	return r
}

// decodeResults reads what --json prints, and says whether a seed failed.
func decodeResults(from io.Reader, options simulation.Options, add func(simulation.Result)) (failed bool, err error) {
	for results := json.NewDecoder(from); ; {
		var s seedJSON
		if err := results.Decode(&s); err != nil {
			if errors.Is(err, io.EOF) {
				return failed, nil
			}
			return failed, err
		}
		failed = failed || s.Failure != nil
		add(s.result(options))
	}
}
