package persistence

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// parked counts the parked goroutines that were started by the named function.
func parked(buf []byte, by string) (n int) {
	for stack := range bytes.SplitSeq(buf[:runtime.Stack(buf, true)], []byte("\n\n")) {
		if bytes.Contains(stack, []byte("persistence.park")) && bytes.Contains(stack, []byte(by)) {
			n++
		}
	}
	return n
}

// After a failure no mutating call reaches the file system, and reads do.
func TestNoMutatingCallPassesABrokenFence(t *testing.T) {
	mem := vfs.NewMem()
	f := newFence(mem)
	file, err := f.Create("file", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte("before")); err != nil {
		t.Fatal(err)
	}
	f.fail(errors.New("broken"))
	calls := map[string]func(){
		"create":      func() { _, _ = f.Create("new", vfs.WriteCategoryUnspecified) },
		"open":        func() { _, _ = f.OpenReadWrite("new", vfs.WriteCategoryUnspecified) },
		"reuse":       func() { _, _ = f.ReuseForWrite("file", "new", vfs.WriteCategoryUnspecified) },
		"rename":      func() { _ = f.Rename("file", "new") },
		"link":        func() { _ = f.Link("file", "new") },
		"remove":      func() { _ = f.Remove("file") },
		"remove all":  func() { _ = f.RemoveAll("file") },
		"mkdir":       func() { _ = f.MkdirAll("new", 0o700) },
		"write":       func() { _, _ = file.Write([]byte("after")) },
		"write at":    func() { _, _ = file.WriteAt([]byte("after"), 0) },
		"sync":        func() { _ = file.Sync() },
		"sync data":   func() { _ = file.SyncData() },
		"sync to":     func() { _, _ = file.SyncTo(1) },
		"preallocate": func() { _ = file.Preallocate(0, 1) },
		"close":       func() { _ = file.Close() },
	}
	by, buf := t.Name(), make([]byte, 16<<20)
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			returned := make(chan struct{})
			before := parked(buf, by)
			go func() {
				call()
				close(returned)
			}()
			for deadline := time.Now().Add(patience); parked(buf, by) == before; {
				select {
				case <-returned:
					t.Fatal("it returned")
				default:
				}
				if time.Now().After(deadline) {
					t.Fatal("it was not parked")
				}
			}
		})
	}
	names, err := f.List("")
	if err != nil || len(names) != 1 || names[0] != "file" {
		t.Errorf("files %q, %v", names, err)
	}
	read, err := f.Open("file")
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 10)
	if n, err := read.Read(content); err != nil || string(content[:n]) != "before" {
		t.Errorf("read %q, %v", content[:n], err)
	}
	if err := read.Close(); err != nil {
		t.Error(err)
	}
}

// The first failure is reported, once.
func TestTheFirstFailureIsReported(t *testing.T) {
	f := newFence(vfs.NewMem())
	var told []error
	first := errors.New("first")
	if err := f.arm(func(err error) { told = append(told, err) }); err != nil {
		t.Fatal(err)
	}
	f.fail(first)
	f.fail(errors.New("second"))
	if len(told) != 1 || told[0] != first || f.failure() != first {
		t.Errorf("told %v, failure %v", told, f.failure())
	}
	early := newFence(vfs.NewMem())
	early.fail(first)
	if err := early.arm(func(error) { t.Error("told") }); err != first {
		t.Error(err)
	}
}
