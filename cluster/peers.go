package cluster

import (
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/internal/transport"
	"github.com/troupe-raft/troupe/messages"
)

// proberName is the actor that answers for the node itself; servers and their replicators live below serverPrefix.
const (
	proberName       = "node"
	serverPrefix     = "raft/"
	replicatorPrefix = "replicator-"
)

// settleTime is for a node's next group to be started after the last one.
const settleTime = 5 * time.Second

// load reads the files; no TLS is nothing to read.
func (t *TLS) load() (*transport.TLS, error) {
	if t == nil {
		return nil, nil
	}
	return transport.LoadTLS(t.CertFile, t.KeyFile, t.CAFile)
}

// startTransport opens the peer port. Nobody is a peer before a group says so; until all groups have, others are put off.
func startTransport(n *Node, tls *transport.TLS) (*transport.Transport, error) {
	return transport.Start(n.system, transport.Config{
		Listen:    n.config.PeerListen,
		Advertise: n.config.PeerAddr,
		TLS:       tls,
		AllowTypes: []proto.Message{
			&messages.RequestVote{}, &messages.RequestVoteReply{}, &messages.TimeoutNow{},
			&messages.Pulse{}, &messages.PulseReply{},
			&messages.AppendEntries{}, &messages.AppendEntriesReply{},
			&messages.InstallSnapshot{}, &messages.InstallSnapshotReply{},
			&messages.Forward{}, &messages.ForwardReply{}, &messages.ReadIndex{}, &messages.ReadIndexReply{},
			&messages.NodeStatusRequest{}, &messages.NodeStatusReply{},
		},
		AllowTarget:     fromPeers,
		Admits:          n.admits,
		Shows:           n.shows,
		Settling:        n.settling,
		MaxMessageBytes: messageBytes(n.config.Limits),
		Logger:          n.log,
		OnConnect:       n.peerConnected,
		OnDisconnect:    n.peerLost,
	})
}

// fromPeers says which actors peers may address: the node's own, servers, and their replicators.
func fromPeers(id string) bool {
	if id == proberName || id == actors.PulseName {
		return true
	}
	group, found := strings.CutPrefix(id, serverPrefix)
	if !found {
		return false
	}
	_, child, isChild := strings.Cut(group, "/")
	return !isChild || strings.HasPrefix(child, replicatorPrefix)
}

// admits says whether a message is an RPC that knows the cluster id of a group here. Servers judge by it, too.
func (n *Node) admits(m proto.Message) bool {
	rpc, ok := m.(interface{ GetHeader() *messages.Header })
	if !ok {
		return false
	}
	h := rpc.GetHeader()
	g, found := n.Group(h.GetGroup())
	return found && h.GetClusterId() != 0 && h.GetClusterId() == g.Status().ClusterID
}

// mostShown is how many groups a frame has room for: one that both nodes have is enough.
const mostShown = 64

// shows are headers of the groups that this node shares with the member at the address, which may not know that yet. The prober there
// ignores them.
func (n *Node) shows(address string) (*actor.PID, []proto.Message) {
	var all []proto.Message
	for _, g := range n.Groups() {
		id := g.Status().ClusterID
		for _, m := range g.Members() {
			if id != 0 && m.Address == address && len(all) < mostShown {
				all = append(all, &messages.RequestVoteReply{Header: &messages.Header{
					ClusterId: id, Group: g.name, From: n.ID(), To: m.ID,
				}})
			}
		}
	}
	return actor.NewPID(address, proberName), all
}

// messageBytes is the transport's limit for a frame, of which one message may take a quarter: the default, or what one entry of
// the largest size needs behind others in a message.
func messageBytes(limits actors.Limits) int {
	return max(16<<20, 4*(limits.EntryBytes+max(limits.MessageBytes, 256<<10)+64<<10))
}

// setPeers makes the members of every group that is started, or starting, the peers of the transport. It is told of one group whose
// members may be others than before.
func (n *Node) setPeers(g *Group) {
	n.peersMu.Lock() // held until the transport knows; mu is not, as the transport reports lost peers
	defer n.peersMu.Unlock()
	if n.peers.note(g, n.namedBy(g)) {
		n.transport.SetPeers(n.peers.addresses())
	}
}

// settling says that this node may get to know more peers soon: groups are being started, or were a moment ago, or none was yet.
func (n *Node) settling() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closing || len(n.groups) == 0 || len(n.starting) > 0 || time.Since(n.started) < settleTime
}

// namedBy are the addresses where a group's members may be; none when it was not started.
func (n *Node) namedBy(g *Group) (addresses []string) {
	n.mu.Lock()
	there := n.groups[g.name] == g || n.starting[g.name] == g
	n.mu.Unlock()
	if !there {
		return nil
	}
	for _, m := range g.Members() {
		addresses = append(addresses, m.Address)
		if i := indexOf(g.hints, m.ID); i >= 0 {
			addresses = append(addresses, g.hints[i].Address)
		}
	}
	return addresses
}
