// Package wires stands between nodes as a network does, and can cut one of them off from the others.
package wires

import (
	"bytes"
	"net"
	"sync"
)

// Network has an address for every node, and carries what comes there to where the node really listens. Nodes are numbered from 0.
// It is safe for concurrent use.
type Network struct {
	listeners []net.Listener
	targets   []string
	running   sync.WaitGroup

	mu    sync.Mutex
	cut   int // the node that is cut off, or nobody
	wires map[*wire]bool
}

const nobody = -1

// New listens on a free loopback port for each target, the address where a node really listens.
func New(targets []string) (*Network, error) {
	n := &Network{targets: targets, cut: nobody, wires: map[*wire]bool{}}
	for range targets {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			n.Close()
			return nil, err
		}
		n.listeners = append(n.listeners, l)
	}
	for node, l := range n.listeners {
		n.running.Go(func() { n.accept(node, l) })
	}
	return n, nil
}

// Address is what the other nodes have to be told of this one.
func (n *Network) Address(node int) string { return n.listeners[node].Addr().String() }

// CutOff lets everything vanish that the node sends and that is sent to it, without a word to either end.
func (n *Network) CutOff(node int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = node
	for w := range n.wires {
		w.dead = w.dead || n.isCut(w)
	}
}

// Heal ends that: connections that lost something are closed, new ones are carried.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = nobody
	for w := range n.wires {
		if w.dead {
			w.close()
		}
	}
}

// Close ends all connections.
func (n *Network) Close() {
	for _, l := range n.listeners {
		l.Close()
	}
	n.mu.Lock()
	n.cut = nobody
	for w := range n.wires {
		w.close()
	}
	n.wires = nil // no more are added
	n.mu.Unlock()
	n.running.Wait()
}

func (n *Network) isCut(w *wire) bool { return n.cut != nobody && (w.from == n.cut || w.to == n.cut) }

// wire is one connection. The network's mutex guards what changes.
type wire struct {
	from, to int // from is nobody until the caller has said who it is
	dead     bool
	heard    []byte // what the caller has said so far, until it is known

	caller, callee net.Conn
}

func (w *wire) close() {
	w.caller.Close()
	w.callee.Close()
}

func (n *Network) accept(node int, l net.Listener) {
	for {
		caller, err := l.Accept()
		if err != nil {
			return // closed
		}
		n.running.Go(func() { n.carry(node, caller) })
	}
}

func (n *Network) carry(node int, caller net.Conn) {
	callee, err := net.Dial("tcp", n.targets[node])
	if err != nil {
		caller.Close() // as when nobody listens
		return
	}
	w := &wire{from: nobody, to: node, caller: caller, callee: callee}
	defer w.close()
	if !n.add(w) {
		return
	}
	defer n.remove(w)
	var both sync.WaitGroup
	both.Go(func() { n.pump(w, caller, callee) })
	both.Go(func() { n.pump(w, callee, caller) })
	both.Wait()
}

func (n *Network) add(w *wire) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wires == nil {
		return false
	}
	w.dead = n.isCut(w)
	n.wires[w] = true
	return true
}

func (n *Network) remove(w *wire) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.wires, w)
}

// pump carries bytes until an end is closed, which the other end learns only over a connection that lives.
func (n *Network) pump(w *wire, from, to net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		count, err := from.Read(buffer)
		lives := n.hear(w, from, buffer[:count])
		if lives && err == nil {
			_, err = to.Write(buffer[:count])
		}
		if err != nil {
			if lives {
				w.close()
			}
			return
		}
	}
}

// maxGreeting is more than a caller says before it has greeted.
const maxGreeting = 4 << 10

// hear listens for who the caller is, as long as that is not known, and says whether the connection lives.
func (n *Network) hear(w *wire, from net.Conn, said []byte) (lives bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if from == w.caller && w.from == nobody && len(w.heard) < maxGreeting {
		w.heard = append(w.heard, said...)
		w.from = n.greeter(w)
		w.dead = w.dead || n.isCut(w)
	}
	return !w.dead
}

// greeter finds who greets: a node's first message has its address, which protobuf writes as a length and plain text.
func (n *Network) greeter(w *wire) int {
	for node := range n.listeners {
		address := n.Address(node)
		if node != w.to && bytes.Contains(w.heard, append([]byte{byte(len(address))}, address...)) {
			return node
		}
	}
	return nobody
}
