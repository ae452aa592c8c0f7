package cluster_test

import (
	"testing"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/kv"
)

// BenchmarkThroughTheClientPort has the Go client and one node in this process, which wait for no other node: what is left is the port's.
func BenchmarkThroughTheClientPort(b *testing.B) {
	node, group := single(b, b.TempDir(), kv.NewMap())
	eventually(b, "the node leads", func() bool { return leads(group) })
	c := client.New([]string{node.ClientAddr()})
	defer c.Close()
	value := make([]byte, 128)
	put := func() error { _, err := c.Put(b.Context(), "k", value); return err }
	get := func() error { _, _, _, err := c.Get(b.Context(), "k"); return err }
	for _, op := range []struct {
		name string
		call func() error
	}{{"put", put}, {"get", get}} {
		b.Run(op.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(64)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := op.call(); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
