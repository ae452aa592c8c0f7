package cluster_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
)

// counter adds what it is told, and answers with the sum.
type counter struct{ sum uint64 }

func (c *counter) Apply(entries []actors.Entry) []actors.Result {
	results := make([]actors.Result, len(entries))
	for i, entry := range entries {
		n, _ := binary.Uvarint(entry.Command)
		c.sum += n
		results[i].Value = binary.AppendUvarint(nil, c.sum)
	}
	return results
}

func (c *counter) Query(context.Context, []byte) ([]byte, error) {
	return binary.AppendUvarint(nil, c.sum), nil
}

func (c *counter) Snapshot() (actors.View, error) {
	return actors.ViewOf(binary.AppendUvarint(nil, c.sum)), nil
}

func (c *counter) Restore(r io.Reader) (err error) {
	c.sum, err = binary.ReadUvarint(bufio.NewReader(r))
	return err
}

// A cluster of one node. For three, start each on its own machine with the same list of members.
func Example() {
	dir, err := os.MkdirTemp("", "troupe")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	node, err := cluster.Start(ctx, cluster.Config{ID: "n1", DataDir: dir, PeerAddr: freePort(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = node.Shutdown(ctx) }()
	members, err := cluster.ParseMembers("n1=" + node.PeerAddr())
	if err != nil {
		log.Fatal(err)
	}
	group, err := node.StartGroup(ctx, "counter", members, &counter{})
	if err != nil {
		log.Fatal(err)
	}
	for !group.Status().Ready {
		time.Sleep(10 * time.Millisecond) // until it is elected
	}
	for n := range uint64(5) {
		if _, err := group.Propose(ctx, binary.AppendUvarint(nil, n)); err != nil {
			log.Fatal(err)
		}
	}
	answer, err := group.Read(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	sum, _ := binary.Uvarint(answer)
	fmt.Println(sum)
	// Output: 10
}

func freePort() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
