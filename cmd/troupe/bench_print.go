package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"time"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/load"
)

// benchJSON is what --json prints.
type benchJSON struct {
	OpsPerSecond float64 `json:"ops_per_second"`
	P50          float64 `json:"p50_us"`
	P99          float64 `json:"p99_us"`
	P999         float64 `json:"p999_us"`
	Errors       uint64  `json:"errors"`
	Seconds      float64 `json:"seconds"`

	Groups   int           `json:"groups,omitempty"` // when more than one
	Follower *followerJSON `json:"follower,omitempty"`
}

// peerbenchJSON is a line of the peerbench tool, whose README says what its fields mean.
type peerbenchJSON struct {
	System     string  `json:"system"`
	Op         string  `json:"op"`
	Clients    int     `json:"clients"`
	Value      int     `json:"value"`
	Seconds    float64 `json:"seconds"`
	Ops        uint64  `json:"ops"`
	Errors     uint64  `json:"errors"`
	OpsPerS    float64 `json:"ops_per_s"`
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
	P999       float64 `json:"p999_us"`
	Max        float64 `json:"max_us"`
	Allocs     float64 `json:"allocs_per_op"`
	AllocBytes float64 `json:"alloc_bytes_per_op"`
	CPU        float64 `json:"cpu_s_per_kop"`
	Cores      float64 `json:"cores_used"`
	Others     float64 `json:"others_cores"`
	Flushes    float64 `json:"disk_flushes_per_s"`
	Note       string  `json:"note,omitempty"`
	FirstError string  `json:"first_error,omitempty"`
}

func (o *benchOptions) print(w io.Writer, r *load.Report, fate *followerJSON, note string) error {
	switch {
	case o.peerbench:
		return json.NewEncoder(w).Encode(o.peerbenchLine(r, note))
	case o.json:
		line := benchJSON{
			OpsPerSecond: perSecond(r, r.Ops), P50: quantile(r, 0.5), P99: quantile(r, 0.99), P999: quantile(r, 0.999),
			Errors: r.Errors, Seconds: r.Elapsed.Seconds(), Follower: fate,
		}
		if o.groups > 1 {
			line.Groups = o.groups
		}
		return json.NewEncoder(w).Encode(line)
	}
	_, err := fmt.Fprintf(w, "%d clients: %.0f %s/s, p50 %v, p99 %v, p99.9 %v, %d errors in %.1f s\n",
		r.Clients, perSecond(r, r.Ops), o.op, rounded(r, 0.5), rounded(r, 0.99), rounded(r, 0.999), r.Errors, r.Elapsed.Seconds())
	if err == nil && r.FirstError != nil {
		_, err = fmt.Fprintf(w, "the first error: %s\n", oneLine(r.FirstError.Error()))
	}
	if err == nil && note != "" {
		_, err = fmt.Fprintln(w, note)
	}
	if err == nil {
		_, err = io.WriteString(w, fate.sentence())
	}
	return err
}

func (o *benchOptions) peerbenchLine(r *load.Report, note string) peerbenchJSON {
	names := map[string]string{"put": "write", "get": "read"}
	op := o.op
	if name, other := names[op]; other {
		op = name
	}
	line := peerbenchJSON{
		System: "troupe", Op: op, Clients: r.Clients, Value: o.valueSize, Seconds: r.Elapsed.Seconds(),
		Ops: r.Ops, Errors: r.Errors, OpsPerS: perSecond(r, r.Ops),
		P50: quantile(r, 0.5), P99: quantile(r, 0.99), P999: quantile(r, 0.999), Max: microseconds(r.Latency.Max()),
		Cores: r.CPU.Seconds() / r.Elapsed.Seconds(), Others: r.OthersCPU.Seconds() / r.Elapsed.Seconds(),
		Flushes: perSecond(r, r.Flushes), Note: note,
	}
	if r.Ops > 0 {
		ops := float64(r.Ops)
		line.Allocs, line.AllocBytes, line.CPU = float64(r.Objects)/ops, float64(r.Bytes)/ops, r.CPU.Seconds()/ops*1000
	}
	if r.FirstError != nil {
		line.FirstError = r.FirstError.Error()
	}
	return line
}

func perSecond(r *load.Report, n uint64) float64 { return float64(n) / r.Elapsed.Seconds() }
func microseconds(d time.Duration) float64       { return float64(d) / float64(time.Microsecond) }
func quantile(r *load.Report, q float64) float64 { return microseconds(r.Latency.Quantile(q)) }
func rounded(r *load.Report, q float64) time.Duration {
	return r.Latency.Quantile(q).Round(time.Microsecond)
}

// startProfiles begins the profiles whose file names are not empty; the function that it returns writes them.
func startProfiles(cpu, mem string) (stop func(), err error) {
	var cpuFile, memFile *os.File
	if mem != "" { // before the run: better to fail now than at its end
		if memFile, err = os.Create(mem); err != nil {
			return nil, fmt.Errorf("cannot write --memprofile: %w", err)
		}
	}
	if cpu != "" {
		if cpuFile, err = os.Create(cpu); err == nil {
			err = pprof.StartCPUProfile(cpuFile)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot write --cpuprofile: %w", err)
		}
	}
	return func() {
		if cpuFile != nil {
			pprof.StopCPUProfile()
			_ = cpuFile.Close()
		}
		if memFile != nil {
			_ = pprof.Lookup("allocs").WriteTo(memFile, 0)
			_ = memFile.Close()
		}
	}, nil
}
