package kv

import (
	"runtime"
	"syscall"
)

// expectMemory prepares for so many bytes that are about to be filled: where the system gives huge pages to those who ask, they come in
// huge pages. To touch each small page for the first time takes longer than all else that a restore of large values does. The memory is
// free again when this returns, and the runtime takes it first.
func expectMemory(bytes int64) {
	room := make([]byte, bytes)
	_ = syscall.Madvise(room, syscall.MADV_HUGEPAGE) // a hint: without it all is as it was
	room = nil
	runtime.GC()
}
