package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/kv"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// Info is what a snapshot file says of itself. Its JSON is what troupe snapshot inspect prints.
type Info struct {
	Format    uint32   `json:"format"`
	Group     string   `json:"group"`
	Index     uint64   `json:"index"`
	Term      uint64   `json:"term"`
	ClusterID string   `json:"cluster_id"`
	Members   []Member `json:"members"`
	Machine   string   `json:"machine"`
	// Keys is nil for the snapshot of another machine than the map.
	Keys *int `json:"keys"`
	// Bytes is the length of the file.
	Bytes uint64 `json:"bytes"`
	// StateHash is the same for equal states of the map. For other machines it is the SHA-256 of the state's bytes.
	StateHash string `json:"state_hash"`
}

// Member is a member of the group when the snapshot was taken.
type Member struct {
	ID      string `json:"id"`
	Address string `json:"address"`
}

// Inspect reads all of a snapshot file, and checks it.
func Inspect(ctx context.Context, path string) (*Info, error) {
	type result struct {
		info *Info
		err  error
	}
	r, ok := wait.Result(ctx, func() (r result) {
		r.info, r.err = inspect(path)
		return r
	})
	if !ok {
		return nil, ctx.Err()
	}
	return r.info, r.err
}

func inspect(path string) (*Info, error) {
	r, err := persistence.OpenSnapshotFile(vfs.Default, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	h := r.Header()
	info := &Info{
		Format: h.GetFormat(), Group: h.GetGroup(), Index: h.GetLastIncludedIndex(), Term: h.GetLastIncludedTerm(),
		ClusterID: fmt.Sprintf("%016x", h.GetCharter().GetClusterId()), Members: members(h.GetCharter().GetConfiguration()),
		Machine: h.GetMachine(), Bytes: r.Pointer().GetBytes(),
	}
	state, err := actors.StateOf(h, r)
	if err != nil {
		return nil, err
	}
	return info, info.readState(state)
}

func members(c *messages.Configuration) []Member {
	all := []Member{}
	for _, list := range [][]*messages.Member{c.GetVoters(), c.GetLearners()} {
		for _, m := range list {
			all = append(all, Member{m.GetId(), m.GetAddress()})
		}
	}
	return all
}

func (i *Info) readState(r io.Reader) error {
	if i.Machine == new(kv.Map).MachineName() {
		keys, _, hash, err := kv.Inspect(r)
		i.Keys, i.StateHash = &keys, hex.EncodeToString(hash[:])
		return err
	}
	hash := sha256.New()
	_, err := io.Copy(hash, r)
	i.StateHash = hex.EncodeToString(hash.Sum(nil))
	return err
}
