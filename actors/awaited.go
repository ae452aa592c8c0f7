package actors

import (
	"container/heap"
	"math"
	"sync"
	"sync/atomic"
)

// mostAwaited is how many callers may wait for indexes to be applied.
const mostAwaited = 4096

// awaited are the indexes that callers wait for. The zero value is for nobody, and costs a load at every look.
type awaited struct {
	// before is the lowest index that is waited for, as its distance to the highest number, so that zero is nobody.
	before atomic.Uint64

	mu    sync.Mutex
	lines awaitedHeap
}

type awaitedIndex struct {
	index   uint64
	place   int // in the heap; -1: it is not there any more
	applied chan struct{}
}

// applied lets those go on who wait for an index up to this one.
func (a *awaited) applied(index uint64) {
	if index < math.MaxUint64-a.before.Load() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.lines) > 0 && a.lines[0].index <= index {
		close(heap.Pop(&a.lines).(*awaitedIndex).applied)
	}
	a.note()
}

// wait is nil when too many wait.
func (a *awaited) wait(index uint64) *awaitedIndex {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.lines) >= mostAwaited {
		return nil
	}
	w := &awaitedIndex{index: index, applied: make(chan struct{})}
	heap.Push(&a.lines, w)
	a.note()
	return w
}

func (a *awaited) giveUp(w *awaitedIndex) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.place >= 0 {
		heap.Remove(&a.lines, w.place)
		a.note()
	}
}

func (a *awaited) note() {
	if len(a.lines) == 0 {
		a.before.Store(0)
	} else {
		a.before.Store(math.MaxUint64 - a.lines[0].index)
	}
}

// awaitedHeap has the lowest index first.
type awaitedHeap []*awaitedIndex

func (h awaitedHeap) Len() int           { return len(h) }
func (h awaitedHeap) Less(i, j int) bool { return h[i].index < h[j].index }
func (h awaitedHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *awaitedHeap) Push(x any) {
	w := x.(*awaitedIndex)
	w.place = len(*h)
	*h = append(*h, w)
}

func (h *awaitedHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	w.place = -1
	return w
}
