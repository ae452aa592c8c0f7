package main

import (
	"time"

	"github.com/troupe-raft/troupe/cluster/kv"
)

const (
	maxRecover  = 1_000_000_000 // more than a disk of today holds
	maxSyncTime = seconds(time.Second)
)

// check says what is wrong with the flags.
func (o *benchOptions) check() error {
	switch {
	case o.local < 0 || o.local > 9 || o.local == 0 && o.given["local"]:
		return usagef("--local takes 1 to 9 nodes")
	case o.local > 0 && o.remote.endpoints != "":
		return usagef("--local and --endpoints exclude each other")
	case o.local == 0 && o.remote.endpoints == "":
		return usagef("--endpoints is empty: name client addresses, as HOST:PORT,..., or leave it out to measure nodes in this process")
	case o.valueSize < 0:
		return usagef("--value-size must not be negative")
	case o.valueSize > kv.MaxValueBytes:
		return usagef("--value-size must be at most %d, which is the map's largest value", kv.MaxValueBytes)
	case o.duration <= 0:
		return usagef("--duration must be more than 0")
	case o.remote.timeout <= 0:
		return usagef("--timeout must be more than 0, such as 5s")
	case operations[o.op] == nil && o.op != opIdle:
		return usagef("--op %q is not one of put, get, mixed, idle", o.op)
	case o.groups < 1 || o.groups > maxGroups:
		return usagef("--groups takes 1 to %d groups", maxGroups)
	case o.rate < 0 || o.rate > maxRate || o.rate != o.rate || o.given["rate"] && o.rate == 0:
		return usagef("--rate takes more than 0 and up to %d operations per second", maxRate)
	case o.arrivals != arrivalsEven && o.arrivals != arrivalsPoisson:
		return usagef("--arrivals %q is not one of even, poisson", o.arrivals)
	case o.follower != "" && o.follower != followerStopped && o.follower != followerLate:
		return usagef("--follower %q is not one of stopped, late", o.follower)
	case o.syncTime > maxSyncTime:
		return usagef("--sync-time must be at most %v: on a slower disk the elections take too long", time.Duration(maxSyncTime))
	case o.recover < 0 || o.recover > maxRecover || o.given["recover"] && o.recover == 0:
		return usagef("--recover takes 1 to %d entries", maxRecover)
	}
	if err := o.checkLocal(); err != nil {
		return err
	}
	return o.checkTogether()
}

// checkLocal is for what only nodes in this process can show.
func (o *benchOptions) checkLocal() error {
	for name, used := range map[string]bool{
		"--groups": o.groups > 1, "--op idle": o.op == opIdle, "--follower": o.follower != "", "--recover": o.recover > 0, "--mail": o.mail, "--sync-time": o.syncTime != 0,
	} {
		if used && o.local == 0 {
			return usagef("%s needs nodes in this process: leave out --endpoints", name)
		}
	}
	return nil
}

// checkTogether is for flags that make no sense together.
func (o *benchOptions) checkTogether() error {
	counts, _ := o.counts()
	switch {
	case o.rate > 0 && o.given["clients"]:
		return usagef("--rate and --clients exclude each other")
	case o.rate == 0 && (o.given["arrivals"] || o.given["seed"] || o.mail):
		return usagef("--arrivals, --seed and --mail are for --rate: add it")
	case o.op == opIdle && (o.rate > 0 || o.follower != "" || o.given["clients"]):
		return usagef("--op idle has no load: leave out --rate, --clients and --follower")
	case o.recover > 0 && (o.groups > 1 || o.rate > 0 || o.follower != "" || o.given["op"]):
		return usagef("--recover writes to one group as fast as it can: leave out --groups, --op, --rate and --follower")
	case o.follower != "" && (o.local < 3 || o.groups > 1):
		return usagef("--follower needs a majority without it, and one group: use --local 3 or more, and leave out --groups")
	case o.follower != "" && len(counts) > 1:
		return usagef("--follower is for one run: give --clients one number")
	}
	return nil
}
