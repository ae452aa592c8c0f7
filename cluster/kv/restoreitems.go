package kv

import (
	"bufio"
	"fmt"
	"io"
	"runtime"
	"slices"
)

// restoreItems reads a view's items. Most of the time goes into taking memory, so processors share the work: a goroutine reads blocks of
// items, each block has one that makes the items, and this one puts them into the map, in order. The others have ended when it returns.
func restoreItems(r *bufio.Reader, count uint64) (map[string]*item, error) {
	blocks := 2 * runtime.GOMAXPROCS(0)
	free, begun := make(chan *block, blocks), make(chan *block, blocks)
	for range blocks {
		free <- &block{made: make(chan struct{}, 1)}
	}
	go readBlocks(r, count, free, begun)

	base := make(map[string]*item, min(count, provenItems))
	var err error
	for b := range begun {
		<-b.made
		if err != nil {
			continue
		}
		if err = b.moveTo(base); err != nil {
			err = fmt.Errorf("item %d of %d: %w", len(base)+1, count, err)
			close(free)
			continue
		}
		free <- b
	}
	return base, err
}

// readBlocks reads the items into free blocks, and begins to make them. It ends after the last item, or an error, or when free is closed.
func readBlocks(r *bufio.Reader, count uint64, free <-chan *block, begun chan<- *block) {
	defer close(begun)
	for count > 0 {
		b, wanted := <-free
		if !wanted {
			return
		}
		b.read(r, count)
		count -= uint64(len(b.heads))
		last := b.err != nil
		begun <- b
		go b.make()
		if last {
			return
		}
	}
}

// A block ends when it has so many items, or so many bytes of keys and values.
const (
	blockItems = 4096
	blockBytes = 256 << 10
)

// block is some of a view's items, as they were read and as the map has them.
type block struct {
	heads []itemHead
	bytes []byte // keys and values, one after the other
	err   error  // why the next item could not be read

	made  chan struct{} // says that items is as long as heads
	items []keyedItem
}

// itemHead is what an item has besides its bytes.
type itemHead struct {
	key, value int // how many bytes they have
	version    uint64
}

type keyedItem struct {
	key string
	*item
}

// read reads up to so many items.
func (b *block) read(r *bufio.Reader, count uint64) {
	b.heads, b.bytes = b.heads[:0], b.bytes[:0]
	for range min(count, blockItems) {
		if b.err = b.readItem(r); b.err != nil || len(b.bytes) >= blockBytes {
			return
		}
	}
}

func (b *block) readItem(r *bufio.Reader) error {
	key, err := readNumber(r)
	if err != nil {
		return err
	}
	if key == 0 || key > MaxKeyBytes {
		return fmt.Errorf("%w: the key has %d bytes, not 1 to %d", errDamaged, key, MaxKeyBytes)
	}
	if err := b.readBytes(r, int(key)); err != nil {
		return err
	}
	version, err := readNumber(r)
	if err != nil {
		return err
	}
	if version == 0 {
		return fmt.Errorf("%w: the key's version is 0", errDamaged)
	}
	value, err := readNumber(r)
	if err != nil {
		return err
	}
	if value > MaxValueBytes {
		return fmt.Errorf("%w: the value has %d bytes, more than %d", errDamaged, value, MaxValueBytes)
	}
	if err := b.readBytes(r, int(value)); err != nil {
		return err
	}
	b.heads = append(b.heads, itemHead{int(key), int(value), version})
	return nil
}

func (b *block) readBytes(r *bufio.Reader, n int) error {
	begin := len(b.bytes)
	b.bytes = slices.Grow(b.bytes, n)[:begin+n]
	_, err := io.ReadFull(r, b.bytes[begin:])
	return early(err)
}

// make makes the items. Each value has an array of its own, since the next value of the key takes it over.
func (b *block) make() {
	b.items = b.items[:0]
	rest := b.bytes
	for _, head := range b.heads {
		key, value := rest[:head.key], rest[head.key:head.key+head.value]
		rest = rest[head.key+head.value:]
		b.items = append(b.items, keyedItem{string(key), &item{append([]byte(nil), value...), head.version}})
	}
	b.made <- struct{}{}
}

// moveTo puts the items into the map. They end at the first error.
func (b *block) moveTo(base map[string]*item) error {
	for _, it := range b.items {
		if base[it.key] != nil {
			return fmt.Errorf("%w: its key came before", errDamaged)
		}
		base[it.key] = it.item
	}
	return b.err
}
