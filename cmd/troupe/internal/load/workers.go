package load

import (
	"math/rand/v2"
	"sync"
)

// Workers makes a Starter of calls that wait: each runs in a goroutine that is free, or in a new one. The second function ends
// them; nothing may be started afterwards.
func Workers(call func(*rand.Rand) error) (Starter, func()) {
	tasks := make(chan task)
	var running sync.WaitGroup
	start := func(random *rand.Rand, done func(error)) {
		t := task{random.Uint64(), done}
		select {
		case tasks <- t:
		default:
			running.Go(func() { work(t, tasks, call) })
		}
	}
	return start, func() {
		close(tasks)
		running.Wait()
	}
}

type task struct {
	seed uint64
	done func(error)
}

func work(t task, tasks <-chan task, call func(*rand.Rand) error) {
	source := rand.NewPCG(0, 0)
	random := rand.New(source)
	for more := true; more; t, more = <-tasks {
		source.Seed(t.seed, 17)
		t.done(call(random))
	}
}
