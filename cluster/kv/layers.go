package kv

import (
	"cmp"
	"hash/maphash"
	"iter"
	"strings"

	"github.com/RaduBerinde/btreemap"
)

// layers has the map's items so that freezing them copies nothing.
//
// While a view is open, another goroutine reads base, so it is left alone: what changes goes to recent, which is asked first. After
// the view, [layers.merge] moves recent into base, in small steps. The next view may open in the middle of that: recent is a tree
// that copies on write, so a view gets one of its own in no time. That is why there are never more than two layers.
type layers struct {
	contents
	// open is the view that is open, or nil.
	open *view
	// views counts the views that were opened.
	views uint64
	count int
}

// contents is what two layers come to.
type contents struct {
	base map[string]*item
	// recent is nil when all of it is in base.
	recent *changes
}

type changes = btreemap.BTreeMap[hashedKey, change]

// change is what became of a key.
type change struct {
	// item is nil where base has a key that was deleted.
	item *item
	// views says when it came: views opened later see it.
	views uint64
}

// hashedKey makes most comparisons of the tree ones of numbers.
type hashedKey struct {
	hash uint64
	key  string
}

var seed = maphash.MakeSeed()

func hashed(key string) hashedKey { return hashedKey{maphash.String(seed, key), key} }

func compareHashed(a, b hashedKey) int {
	if order := cmp.Compare(a.hash, b.hash); order != 0 {
		return order
	}
	return strings.Compare(a.key, b.key)
}

const treeDegree = 16

func newLayers(base map[string]*item) *layers {
	return &layers{contents: contents{base: base}, count: len(base)}
}

// get returns the key's item, or nil. owned says that no view sees the item, so that it may be overwritten.
func (l *layers) get(key []byte) (it *item, owned bool) {
	if l.recent != nil {
		if _, c, found := l.recent.Get(hashed(string(key))); found {
			return c.item, l.open == nil || c.views == l.views
		}
	}
	return l.base[string(key)], l.open == nil
}

// add gives an item to a key that has none.
func (l *layers) add(key []byte, it *item) {
	l.count++
	switch {
	case l.open != nil:
		l.change(key, it)
	case l.recent != nil:
		l.recent.Delete(hashed(string(key))) // it may say that the key was deleted
		fallthrough
	default:
		l.base[string(key)] = it
	}
}

// replace gives another item to a key that has one, which is not owned.
func (l *layers) replace(key []byte, it *item) { l.change(key, it) }

// remove takes a key's item away.
func (l *layers) remove(key []byte) {
	l.count--
	if l.open == nil {
		delete(l.base, string(key))
	} else if l.base[string(key)] != nil {
		l.change(key, nil)
		return
	}
	if l.recent != nil {
		l.recent.Delete(hashed(string(key)))
	}
}

func (l *layers) change(key []byte, it *item) {
	if l.recent == nil {
		l.recent = btreemap.New[hashedKey, change](treeDegree, compareHashed)
	}
	l.recent.ReplaceOrInsert(hashed(string(key)), change{it, l.views})
}

// freeze opens a view. None may be open.
func (l *layers) freeze(floor uint64) *view {
	l.views++
	l.open = &view{contents: l.contents, layers: l, count: l.count, floor: floor}
	if l.recent != nil {
		l.open.recent = l.recent.Clone()
	}
	return l.open
}

// thaw ends a view.
func (l *layers) thaw(v *view) {
	if l.open == v {
		l.open = nil
		l.merge(leastMerged)
	}
}

const leastMerged = 32

// merge moves up to n changes into base, unless a view reads that.
func (l *layers) merge(n int) {
	if l.recent == nil || l.open != nil {
		return
	}
	for range n {
		key, c, found := l.recent.DeleteMin()
		switch {
		case !found:
			l.recent = nil
			return
		case c.item == nil:
			delete(l.base, key.key)
		default:
			l.base[key.key] = c.item
		}
	}
}

// all yields every key and its item, in no order.
func (c contents) all() iter.Seq2[string, *item] {
	return func(yield func(string, *item) bool) {
		for key, it := range c.base {
			if c.recent != nil && c.recent.Has(hashed(key)) {
				continue
			}
			if !yield(key, it) {
				return
			}
		}
		if c.recent == nil {
			return
		}
		for key, change := range c.recent.Ascend(btreemap.Min[hashedKey](), btreemap.Max[hashedKey]()) {
			if change.item != nil && !yield(key.key, change.item) {
				return
			}
		}
	}
}
