package wires

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo is a node that says again what it hears, a line at a time.
func echo(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// call connects to a node as another one does, and greets when it has a name.
func call(t *testing.T, n *Network, from, to int) *caller {
	t.Helper()
	c, err := net.Dial("tcp", n.Address(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	greeting := ""
	if from != nobody {
		greeting = string(rune(len(n.Address(from)))) + n.Address(from)
	}
	return &caller{c, bufio.NewReader(c), greeting}
}

type caller struct {
	net.Conn
	answers  *bufio.Reader
	greeting string
}

// says tells whether a line comes back; failed that nothing ever will, as the connection is closed.
func (c *caller) says(t *testing.T, limit time.Duration) (back, failed bool) {
	t.Helper()
	_, err := io.WriteString(c, "handshake "+c.greeting+"\n")
	_ = c.SetReadDeadline(time.Now().Add(limit))
	if err == nil {
		_, err = c.answers.ReadString('\n')
	}
	return err == nil, err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

func TestCutOff(t *testing.T) {
	const soon, long = 20 * time.Millisecond, 10 * time.Second
	n, err := New([]string{echo(t), echo(t), echo(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	type pair struct{ from, to int }
	pairs := []pair{{0, 1}, {0, 2}, {1, 0}, {1, 2}, {2, 0}, {2, 1}}
	before := map[pair]*caller{}
	for _, p := range pairs {
		before[p] = call(t, n, p.from, p.to)
		if back, _ := before[p].says(t, long); !back {
			t.Fatalf("%v: nothing is carried", p)
		}
	}
	n.CutOff(1)
	for _, p := range pairs {
		for which, c := range map[string]*caller{"an old": before[p], "a new": call(t, n, p.from, p.to)} {
			if p.from == 1 || p.to == 1 {
				if back, failed := c.says(t, soon); back || failed {
					t.Errorf("%s connection of %v: carried %v, closed %v; everything should vanish", which, p, back, failed)
				}
			} else if back, _ := c.says(t, long); !back {
				t.Errorf("%s connection of %v is cut as well", which, p)
			}
		}
	}
	n.Heal()
	if back, failed := before[pair{0, 1}].says(t, long); back || !failed {
		t.Error("a connection that lost something lives on")
	}
	for _, p := range pairs {
		if back, _ := call(t, n, p.from, p.to).says(t, long); !back {
			t.Errorf("%v: nothing is carried after the healing", p)
		}
	}
}

func TestClose(t *testing.T) {
	n, err := New([]string{echo(t), "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	open, refused := call(t, n, 1, 0), call(t, n, 0, 1)
	if _, failed := refused.says(t, 10*time.Second); !failed {
		t.Error("a connection to nobody is not closed")
	}
	if back, _ := open.says(t, 10*time.Second); !back {
		t.Error("nothing is carried")
	}
	n.CutOff(0)
	n.Close()
	if _, failed := open.says(t, 10*time.Second); !failed {
		t.Error("a connection outlives the network")
	}
}
