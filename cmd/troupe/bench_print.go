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

// benchJSON is a number of clients, and what they saw. What was used is of the whole process, in which the clients run, too.
type benchJSON struct {
	Op           string  `json:"op"`
	Clients      int     `json:"clients"`
	ValueSize    int     `json:"value_size"`
	Operations   uint64  `json:"operations"`
	OpsPerSecond float64 `json:"ops_per_second"`
	P50          float64 `json:"p50_us"`
	P99          float64 `json:"p99_us"`
	P999         float64 `json:"p999_us"`
	Max          float64 `json:"max_us"`
	Errors       uint64  `json:"errors"`
	FirstError   string  `json:"first_error"`
	Seconds      float64 `json:"seconds"`
	Allocs       float64 `json:"allocs_per_op"`
	AllocBytes   float64 `json:"alloc_bytes_per_op"`
	CPU          float64 `json:"cpu_us_per_op"`
	Flushes      float64 `json:"flushes_per_second"` // of the disk with the data, for anyone; 0 when the system does not tell
	OtherCores   float64 `json:"other_cores"`        // used by other processes

	Groups   int           `json:"groups,omitempty"` // when more than one
	Follower *followerJSON `json:"follower,omitempty"`
}

func (o *benchOptions) print(w io.Writer, r *load.Report, fate *followerJSON, note string) error {
	if o.json {
		line := o.line(r)
		line.Follower = fate
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

func (o *benchOptions) line(r *load.Report) benchJSON {
	line := benchJSON{
		Op: o.op, Clients: r.Clients, ValueSize: o.valueSize, Operations: r.Ops, OpsPerSecond: perSecond(r, r.Ops),
		P50: quantile(r, 0.5), P99: quantile(r, 0.99), P999: quantile(r, 0.999), Max: microseconds(r.Latency.Max()),
		Errors: r.Errors, Seconds: r.Elapsed.Seconds(),
		Flushes: perSecond(r, r.Flushes), OtherCores: r.OthersCPU.Seconds() / r.Elapsed.Seconds(),
	}
	if ops := float64(r.Ops); ops > 0 {
		line.Allocs, line.AllocBytes, line.CPU = float64(r.Objects)/ops, float64(r.Bytes)/ops, microseconds(r.CPU)/ops
	}
	if r.FirstError != nil {
		line.FirstError = oneLine(r.FirstError.Error())
	}
	if o.groups > 1 {
		line.Groups = o.groups
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
