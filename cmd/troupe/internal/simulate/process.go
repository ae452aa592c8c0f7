package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-raft/troupe/cluster/simulation"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
)

// seedsPerProcess bounds what a process holds: a store whose disk failed is never freed (persistence.Store.Close), some megabytes
// each.
const seedsPerProcess = 200

// signalTime is for Ctrl-C, which ends the other processes too, and may be noticed there first.
const signalTime = 100 * time.Millisecond

// inProcess plays the seeds in this process, and passes each result on.
func (s Seeds) inProcess(
	ctx context.Context, options simulation.Options, first uint64, seeds int, add func(simulation.Result),
) error {
	for i := range seeds {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		options.Seed = first + uint64(i)
		r, ok := wait.Result(ctx, func() simulation.Result { return simulation.Run(simulation.Registers(), options) })
		if !ok {
			return ctx.Err()
		}
		if add(r); r.Failure != nil {
			break
		}
	}
	return nil
}

// asProcess plays them in a process of their own.
func (s Seeds) asProcess(
	ctx context.Context, options simulation.Options, first uint64, seeds int, add func(simulation.Result),
) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find the program itself, to run the seeds in processes of their own: %w", err)
	}
	number, o := strconv.Itoa, s.Options
	cmd := exec.CommandContext(ctx, self, "simulate", "--json", "--workers", "1", "--seed", strconv.FormatUint(first, 10),
		"--seeds", number(seeds), "--nodes", number(o.Nodes), "--groups", number(o.Groups), "--clients", number(o.Clients),
		"--steps", number(o.Steps), "--faults", s.Faults, "--unsynced", number(o.Unsynced))
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start a process for the seeds: %w", err)
	}
	played := 0
	failed, err := decodeResults(out, options, func(r simulation.Result) {
		played++
		add(r)
	})
	_, _ = io.Copy(io.Discard, out) // or the process could wait for ever to say the rest
	err = errors.Join(err, cmd.Wait())
	if failed || err == nil && played == seeds {
		return nil
	}
	if wait.For(ctx, signalTime) != nil {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("it played %d of %d", played, seeds)
	}
	return fmt.Errorf("the process with the seeds from %d on ended early: %w\n%s", first, err, complaints.String())
}
