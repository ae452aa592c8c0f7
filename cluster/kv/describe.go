package kv

import "github.com/troupe-raft/troupe/cluster/internal/kvwire"

// Describe names what a command does, put, delete or compare-and-swap, and its key; false when it is no command of a [Map].
func Describe(command []byte) (operation, key string, ok bool) {
	c, err := decode(command)
	if err != nil {
		return "", "", false
	}
	names := map[byte]string{kvwire.OpPut: "put", kvwire.OpDelete: "delete", kvwire.OpCompareAndSwap: "compare-and-swap"}
	return names[c.op], string(c.key), true
}
