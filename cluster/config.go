package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/troupe-raft/troupe/actors"
)

// Config is what a node is started with. ID, DataDir and PeerAddr are needed; the rest has defaults.
type Config struct {
	// ID is the node's id: one of the ids in its groups' lists of members.
	ID string
	// DataDir belongs to this node alone. It is created when there is none; a restarted node finds its state in it. No other user of
	// the machine can read what is in it. An older copy must never be put back in its place: the node would have forgotten writes that
	// it helped to acknowledge.
	DataDir string

	// PeerAddr is the host:port at which the other nodes reach this one, and the address that lists of members give it.
	PeerAddr string
	// PeerListen is the host:port to bind instead of PeerAddr, such as ":7001" behind an address translation.
	PeerListen string

	// ClientAddr is the host:port at which clients reach this node; empty: no client port. Port 0 takes a free one.
	ClientAddr string
	// ClientListen is the host:port to bind instead of ClientAddr.
	ClientListen string
	// ClientTLS makes the client port speak TLS. nil: plain text, for closed networks. Clients are not told apart in any other way: who
	// may speak to the port may read and write everything.
	ClientTLS *ClientTLS

	// Cluster is the operator's name for the cluster; default "troupe". A directory that was founded under another name is
	// refused.
	Cluster string
	// TLS makes peers prove to each other who they are. nil: plain TCP, for closed networks: whoever reaches the peer port can
	// then act as any node.
	TLS *TLS

	// Timing and Limits are for every group; zero values mean defaults.
	Timing actors.Timing
	Limits actors.Limits
	// LogBudget is how many bytes of entries the logs of all groups may have together on this node: beyond it the longest are cut, whatever
	// Limits say; 0: 4 GiB.
	LogBudget int64
	// TransferRate is how many bytes of snapshots leave this node in a second, at most; 0: as many as links carry.
	TransferRate int64
	// Clients bounds what clients may hold of the node; zero values mean defaults.
	Clients ClientLimits

	// Logger gets what operators should know; default [slog.Default].
	Logger *slog.Logger
}

// TLS names PEM files for mutual TLS between peers. Every node's certificate must be signed by the CA and name the host of
// the node's PeerAddr. The files are read again when they change, and new connections use the new content. While the files do not
// fit together, the content before stays in use.
type TLS struct {
	CertFile, KeyFile, CAFile string
}

// ClientTLS names PEM files for TLS of the client port. The certificate must name the host of the node's ClientAddr. The files are read
// again as those of [TLS] are.
type ClientTLS struct {
	CertFile, KeyFile string
	// CAFile has the authorities that sign clients' certificates: a client without such a certificate is refused. Empty: every client that
	// speaks TLS is served.
	CAFile string
}

func (c *Config) setDefaults() {
	if c.Cluster == "" {
		c.Cluster = "troupe"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.PeerListen == "" {
		c.PeerListen = c.PeerAddr
	}
	if c.ClientListen == "" {
		c.ClientListen = c.ClientAddr
	}
	c.Clients.setDefaults()
}

// Validate says what is wrong with the configuration or the members of a node. [Start] and [Node.StartGroup] check the same, but
// they check the members after the data directory was founded. A node that joins has none. Validate opens nothing.
func (c Config) Validate(members []actors.Member) error {
	c.setDefaults()
	if err := c.validate(); err != nil {
		return err
	}
	if members == nil {
		return nil
	}
	if err := checkMembers(members); err != nil {
		return err
	}
	return checkSelf(c.ID, c.PeerAddr, members)
}

func (c *Config) validate() error {
	if err := checkName("node id", c.ID); err != nil {
		return err
	}
	if c.DataDir == "" {
		return errors.New("the node needs a data directory: a path that belongs to this node alone")
	}
	if c.PeerAddr == "" {
		return errors.New("the node needs a peer address: the host:port at which the other nodes reach it")
	}
	if err := checkPeerAddress("peer address", c.PeerAddr); err != nil {
		return err
	}
	if err := checkAddress("address to listen on for peers", c.PeerListen); err != nil {
		return err
	}
	timing, limits := c.Timing, c.Limits
	if err := timing.Validate(); err != nil {
		return err
	}
	if err := limits.Validate(); err != nil {
		return err
	}
	if err := c.Clients.validate(); err != nil {
		return err
	}
	if c.LogBudget < 0 || c.TransferRate < 0 {
		return errors.New("the log budget and the transfer rate are numbers of bytes: give positive ones, or 0 for the defaults")
	}
	return c.validateClientPort()
}

func (c *Config) validateClientPort() error {
	if c.ClientAddr == "" {
		if c.ClientListen != "" || c.ClientTLS != nil {
			return errors.New("the node listens for clients but has no client address: give the host:port at which clients reach it")
		}
		return nil
	}
	if t := c.ClientTLS; t != nil && (t.CertFile == "" || t.KeyFile == "") {
		return errors.New("TLS for clients needs a certificate and its key: give a PEM file for each")
	}
	if err := checkAddress("client address", c.ClientAddr); err != nil {
		return err
	}
	if err := checkAddress("address to listen on for clients", c.ClientListen); err != nil {
		return err
	}
	if c.ClientListen == c.PeerListen && !strings.HasSuffix(c.ClientListen, ":0") {
		return fmt.Errorf("peers and clients cannot share the address %s: give the client port another one", c.ClientListen)
	}
	return nil
}

const maxNameBytes = 64

// checkName allows what can be a part of an actor's name, of a list and of a log line.
func checkName(what, name string) error {
	if name == "" {
		return fmt.Errorf("the %s is empty: give a name of letters, digits, dots, dashes and underscores", what)
	}
	if len(name) > maxNameBytes {
		return fmt.Errorf("the %s has %d bytes: give one of at most %d", what, len(name), maxNameBytes)
	}
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
		default:
			return fmt.Errorf("the %s %q has the character %q: use letters, digits, dots, dashes and underscores", what, name, r)
		}
	}
	return nil
}

// checkAddress allows what can be bound: an empty host, port 0.
func checkAddress(what, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("the %s %q is not host:port, such as 127.0.0.1:7001", what, address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("the %s %q has the port %q: give a number up to 65535", what, address, port)
	} else if strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("the %s %q has the port %q: write it as %d", what, address, port, n)
	}
	return nil
}

// checkPeerAddress allows what can be dialed.
func checkPeerAddress(what, address string) error {
	if err := checkAddress(what, address); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(address)
	if host == "" || strings.ContainsAny(host, " \t\r\n/,=@") {
		return fmt.Errorf("the %s %q has no usable host: give one that the other nodes can dial, such as 127.0.0.1:7001", what, address)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("the %s %q cannot be dialed: give the host that the other nodes reach; "+
			"to listen on every interface, set the address to listen on", what, address)
	}
	if port == "0" {
		return fmt.Errorf("the %s %q has port 0: the other nodes must know the port, choose one", what, address)
	}
	return nil
}
