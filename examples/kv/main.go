// Command kv runs a replicated map on three processes, kills the one that leads, and goes on.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"

	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/kv"
)

var members = must(cluster.ParseMembers("n1=127.0.0.1:18481,n2=127.0.0.1:18482,n3=127.0.0.1:18483"))
var endpoints = []string{"127.0.0.1:18491", "127.0.0.1:18492", "127.0.0.1:18493"}

// node is what each of the three processes does. It ends with its standard input, so none outlives the program that started it.
func node(i int, dir string) {
	ctx, m := context.Background(), members[i]
	n := must(cluster.Start(ctx, cluster.Config{
		ID: m.ID, DataDir: dir, PeerAddr: m.Address, ClientAddr: endpoints[i], Logger: slog.New(slog.DiscardHandler),
	}))
	must(0, kv.Mount(n, must(n.StartGroup(ctx, "kv", members, kv.NewMap()))))
	must(io.Copy(io.Discard, os.Stdin))
	must(0, n.Shutdown(ctx))
}

func main() {
	if len(os.Args) == 3 {
		node(must(strconv.Atoi(os.Args[1])), os.Args[2])
		return
	}
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt)
	dir, processes := must(os.MkdirTemp("", "kv-")), map[string]*exec.Cmd{}
	defer os.RemoveAll(dir)
	for i, m := range members {
		p := exec.Command(must(os.Executable()), strconv.Itoa(i), dir+"/"+m.ID)
		p.Stderr = os.Stderr
		stdin := must(p.StdinPipe())
		must(0, p.Start())
		defer p.Wait() // deferred calls run in reverse: first the process's input ends
		defer stdin.Close()
		processes[m.ID] = p
	}
	c := client.New(endpoints)
	defer c.Close()
	write(ctx, c, "play", "Hamlet")
	write(ctx, c, "line", "to be")
	leader := must(c.Status(ctx)).GetLeader()
	fmt.Println("killing the leader,", leader)
	must(0, processes[leader].Process.Kill())
	write(ctx, c, "line", "or not to be")
	for _, key := range []string{"play", "line"} {
		value, version, _, err := c.Get(ctx, key)
		fmt.Printf("read %s: %s, version %d\n", key, must(value, err), version)
	}
}

func write(ctx context.Context, c *client.Client, key, value string) {
	version, err := c.Put(ctx, key, []byte(value))
	for errors.Is(err, client.ErrOutcomeUnknown) { // the leader died with it; writing the same again does no harm here
		version, err = c.Put(ctx, key, []byte(value))
	}
	fmt.Printf("wrote %s, version %d\n", key, must(version, err))
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Panic(err) // log.Fatal would skip what is deferred
	}
	return v
}
