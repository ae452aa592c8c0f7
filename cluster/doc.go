// Package cluster runs nodes: [Start] opens a data directory, a peer port and a client port, and [Node.StartGroup] runs the
// node's server of a replicated group over them. Any number of groups share a node's disk and connections.
//
//	node, err := cluster.Start(ctx, cluster.Config{
//		ID:         "n1",
//		DataDir:    "/var/lib/troupe/n1",
//		PeerAddr:   "10.0.0.1:7001",
//		ClientAddr: "10.0.0.1:8001",
//	})
//	members, err := cluster.ParseMembers("n1=10.0.0.1:7001,n2=10.0.0.2:7001,n3=10.0.0.3:7001")
//	group, err := node.StartGroup(ctx, "orders", members, machine)
//	result, err := group.Propose(ctx, command)
//	answer, err := group.Read(ctx, query)
//	err = node.Shutdown(ctx)
//
// An application of Proto.Actor gives its actor system with [WithActorSystem] and mails [Propose] and [Read] to [Group.PID].
//
// The node's own actor system, in which servers live, is not the application's: it is reachable by peers only, and only for
// Raft's messages. Errors are those of package actors.
package cluster
