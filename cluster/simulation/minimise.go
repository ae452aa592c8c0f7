package simulation

import "maps"

// Minimise looks for a smaller run that breaks the same sentence as the failing one: fewer faults, fewer steps, fewer clients and
// nodes. It tries each reduction with some seeds, since a run with one fault less is another run. It returns the options and the
// result of the smallest run found, which may be the one given.
func Minimise(m Machine, failing Result) Result {
	best := failing
	try := func(change func(*Options)) bool {
		for seed := best.Options.Seed; seed < best.Options.Seed+seedsPerReduction; seed++ {
			o := best.Options
			o.Faults = maps.Clone(o.Faults)
			o.Seed = seed
			change(&o)
			if r := Run(m, o); r.Failure != nil && r.Failure.Sentence == failing.Failure.Sentence {
				best = r
				return true
			}
		}
		return false
	}
	for _, name := range faultNames() {
		if best.Options.Faults[Fault(name)] > 0 {
			try(func(o *Options) { delete(o.Faults, Fault(name)) })
		}
	}
	for best.Options.Nodes > 3 && try(func(o *Options) { o.Nodes-- }) {
	}
	for best.Options.Groups > 1 && try(func(o *Options) { o.Groups-- }) {
	}
	for best.Options.Clients > 1 && try(func(o *Options) { o.Clients-- }) {
	}
	for best.Options.Steps > 100 && try(func(o *Options) { o.Steps /= 2 }) {
	}
	return best
}

const seedsPerReduction = 10
