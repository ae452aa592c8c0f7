package simulation

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Fault is something that goes wrong. Its rate is the probability per message (of the network's faults) or per leader (of
// NewLeader), or the mean number per second of virtual time (of all others).
type Fault string

// The faults.
const (
	Loss        Fault = "loss"
	Delay       Fault = "delay" // up to several election timeouts, over restarts
	Reorder     Fault = "reorder"
	Duplicate   Fault = "duplicate"
	Corrupt     Fault = "corrupt"
	Misroute    Fault = "misroute" // to another node or group
	Partition   Fault = "partition"
	OneWay      Fault = "one-way"
	Bridge      Fault = "bridge"
	IsolateLead Fault = "isolate-leader"
	Kill        Fault = "kill"
	PowerLoss   Fault = "power-loss"
	Pause       Fault = "pause"
	SlowDisk    Fault = "slow-disk"
	WriteError  Fault = "write-error"
	SyncError   Fault = "sync-error" // a second sync would succeed
	DiskFull    Fault = "disk-full"
	BitRot      Fault = "bit-rot" // in the store, while the node is down
	Wipe        Fault = "wipe"
	Rollback    Fault = "rollback" // of the database, not of the side file that says how far it must go
	ClockJump   Fault = "clock-jump"
	Drift       Fault = "drift"
	Panic       Fault = "panic"       // in a state machine
	ActorPanic  Fault = "actor-panic" // of a server, a replicator or a machine, before or after it handled a message
	Hangup      Fault = "hangup"      // connections break, and both ends are told
	Reset       Fault = "reset"       // the same, and new ones are made at once
	Jam         Fault = "jam"         // a link delivers what it carries late, and together
	NewLeader   Fault = "new-leader"  // is killed, cut off or paused within its first millisecond
	Stop        Fault = "stop"        // in good order
	Starve      Fault = "starve"      // one actor does not come to run
	NoSnapshot  Fault = "no-snapshot" // a snapshot's file cannot be written
	Churn       Fault = "churn"       // an operator asks for other members
	Replace     Fault = "replace"     // a node that left comes back as a new one
	Rejoin      Fault = "rejoin"      // a member loses its disk, and joins as a new one
	Transfer    Fault = "transfer"    // a leader is asked to hand over
	Lull        Fault = "lull"        // a group's clients want nothing for a while
	Move        Fault = "move"        // nodes have other addresses, or each other's, when they start again
)

// Faults are rates by fault.
type Faults map[Fault]float64

// AllFaults are the default rates of all faults.
func AllFaults() Faults {
	return Faults{
		Loss: 0.01, Delay: 0.002, Reorder: 0.01, Duplicate: 0.01, Corrupt: 0.002, Misroute: 0.001,
		Partition: 0.15, OneWay: 0.1, Bridge: 0.05, IsolateLead: 0.1,
		Kill: 0.1, PowerLoss: 0.15, Pause: 0.15, SlowDisk: 0.1, WriteError: 0.02, SyncError: 0.02, DiskFull: 0.02,
		BitRot: 0.01, Wipe: 0.01, Rollback: 0.01, ClockJump: 0.1, Drift: 1, Panic: 0.01,
		ActorPanic: 0.02, Hangup: 0.2, Reset: 0.4, Jam: 0.2, NewLeader: 0.1, Stop: 0.05, Starve: 0.2, NoSnapshot: 0.2, Churn: 1,
		Transfer: 0.3, Replace: 0.5, Rejoin: 0.1, Move: 0.1, Lull: 0.5,
	}
}

// ParseFaults reads "all", "none" or a list of names, each optionally with =rate.
func ParseFaults(list string) (Faults, error) {
	all := AllFaults()
	switch list {
	case "all":
		return all, nil
	case "none", "":
		return Faults{}, nil
	}
	chosen := Faults{}
	for _, item := range strings.Split(list, ",") {
		name, value, given := strings.Cut(strings.TrimSpace(item), "=")
		rate, known := all[Fault(name)]
		if !known {
			return nil, fmt.Errorf("no fault is called %q: choose from %s", name, strings.Join(faultNames(), ", "))
		}
		if given {
			var err error
			if rate, err = parseRate(Fault(name), value); err != nil {
				return nil, err
			}
		}
		chosen[Fault(name)] = rate
	}
	return chosen, nil
}

func parseRate(f Fault, text string) (float64, error) {
	rate, err := strconv.ParseFloat(text, 64)
	most := f.highest()
	if err != nil || math.IsNaN(rate) || rate < 0 || rate > most {
		return 0, fmt.Errorf("the rate of %s must be a number from 0 to %g, not %q", f, most, text)
	}
	return rate, nil
}

// highest is 1 for a probability. It bounds the other rates, since too many faults at one moment would keep time from passing.
func (f Fault) highest() float64 {
	switch f {
	case Loss, Delay, Reorder, Duplicate, Corrupt, Misroute, NewLeader:
		return 1
	}
	return 1000
}

func faultNames() []string {
	var names []string
	for f := range AllFaults() {
		names = append(names, string(f))
	}
	slices.Sort(names)
	return names
}

// String is the list that ParseFaults reads.
func (f Faults) String() string {
	if maps.Equal(f, AllFaults()) {
		return "all"
	}
	var items []string
	for _, name := range faultNames() {
		if rate, ok := f[Fault(name)]; ok && rate > 0 {
			items = append(items, fmt.Sprintf("%s=%g", name, rate))
		}
	}
	if len(items) == 0 {
		return "none"
	}
	return strings.Join(items, ",")
}
