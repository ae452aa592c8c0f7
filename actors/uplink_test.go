package actors

import (
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"pgregory.net/rapid"
)

// post is a context that keeps what is sent.
type post struct {
	actor.Context
	system  *actor.ActorSystem
	message any
	sent    []any
	to      []*actor.PID
}

func (p *post) ActorSystem() *actor.ActorSystem { return p.system }
func (p *post) Message() any                    { return p.message }
func (p *post) Self() *actor.PID                { return actor.NewPID("n1:1", "uplink") }
func (p *post) Parent() *actor.PID              { return actor.NewPID("n1:1", "server") }
func (p *post) Request(to *actor.PID, m any)    { p.Send(to, m) }
func (p *post) Send(to *actor.PID, m any) {
	p.sent, p.to = append(p.sent, m), append(p.to, to)
}

func (p *post) mail(a actor.Actor, m any) (sent []any) {
	p.message, p.sent, p.to = m, nil, nil
	a.Receive(p)
	return p.sent
}

func newUplink(clock Clock, rate int64) *uplink {
	return &uplink{clock: clock, rate: rate, least: 64 << 10, links: map[string]*bulkLink{}, accounts: map[string]*account{}}
}

// sender is one replicator's place at the uplink.
func sender(n int) *actor.PID { return actor.NewPID("n1:1", fmt.Sprint("replicator-", n)) }

// F-01 Whatever senders do, what is under way to a peer is the sum of what its senders have under way, and within the window; nothing is
// left when they end, and nobody waits while there is room.
func TestF01WhatIsUnderWayIsGivenBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock := &manualClock{now: time.Unix(1000, 0)}
		u, p := newUplink(clock, 0), &post{}
		const senders = 5
		peer := func(n int) string { return fmt.Sprint("n", 2+n%2) }
		var has, asked [senders]int64
		note := func(sent []any) {
			for i, m := range sent {
				if d, ok := m.(*drawn); ok {
					for n := range senders {
						if p.to[i].Id == sender(n).Id {
							has[n] += d.bytes
							asked[n] = 0
						}
					}
				}
			}
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			n := rapid.IntRange(0, senders-1).Draw(t, "sender")
			clock.now = clock.now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "ms")) * time.Millisecond)
			switch what := rapid.IntRange(0, 5).Draw(t, "what"); {
			case what == 0:
				note(p.mail(u, &endBulk{sender(n)}))
				has[n], asked[n] = 0, 0
			case what < 3 && asked[n] == 0:
				asked[n] = rapid.Int64Range(1, 100<<10).Draw(t, "bytes")
				note(p.mail(u, &draw{sender(n), peer(n), asked[n], false}))
			case has[n] > 0:
				bytes := rapid.Int64Range(1, has[n]).Draw(t, "settled")
				has[n] -= bytes
				after := time.Duration(rapid.IntRange(0, 200).Draw(t, "after")) * time.Millisecond
				note(p.mail(u, &settle{from: sender(n), bytes: bytes, after: after}))
			}
			for k := range 2 {
				l, sum, waits := u.link(peer(k)), int64(0), false
				for n := k; n < senders; n += 2 {
					sum += has[n]
					waits = waits || asked[n] > 0
				}
				switch {
				case l.underWay != sum:
					t.Fatalf("%d bytes are under way to %s, its senders have %d", l.underWay, peer(k), sum)
				case l.window < u.least || l.window > mostUnderWay:
					t.Fatalf("the window is %d", l.window)
				case waits && sum == 0:
					t.Fatalf("somebody waits for %s, and nothing is under way", peer(k))
				}
			}
		}
	})
}

// The window follows the link: it grows while all arrives soon, and is about 50 ms' worth of a slow link, however long the queue was.
func TestTheWindowFollowsTheLink(t *testing.T) {
	for _, bytesPerSecond := range []int64{1 << 20, 6 << 20, 400 << 20} {
		clock := &manualClock{now: time.Unix(1000, 0)}
		u, p := newUplink(clock, 0), &post{}
		const chunk = 64 << 10
		var under []time.Time // when each chunk that is under way was sent
		free := clock.now     // when the link is free again
		asks := false
		allowed := func(sent []any) {
			for range sent {
				under, asks = append(under, clock.now), false
			}
		}
		for range 2000 {
			for !asks {
				asks = true
				allowed(p.mail(u, &draw{sender(0), "n2", chunk, true}))
			}
			free = later(free, clock.now).Add(time.Duration(chunk * int64(time.Second) / bytesPerSecond))
			clock.now = later(clock.now, free)
			after := max(clock.now.Sub(under[0]), 1)
			under = under[1:]
			allowed(p.mail(u, &settle{from: sender(0), bytes: chunk, after: after}))
		}
		window, worth := u.link("n2").window, bytesPerSecond/20
		if least, most := max(min(worth/4, mostUnderWay/2), chunk), max(3*worth, 2*chunk); window < least || window > most {
			t.Errorf("%d bytes a second: the window is %d, 50 ms are worth %d", bytesPerSecond, window, worth)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// At most two snapshots leave at a time, the next when one ends; and together they keep to the rate.
func TestTransfersAreFewAndKeepToTheRate(t *testing.T) {
	clock := &manualClock{now: time.Unix(1000, 0)}
	u, p := newUplink(clock, 1<<20), &post{}
	begun := 0
	for n := range 4 {
		begun += len(p.mail(u, &beginTransfer{sender(n)}))
	}
	if begun != 2 {
		t.Fatalf("%d transfers began", begun)
	}
	if sent := p.mail(u, &endBulk{sender(1)}); len(sent) != 1 || p.to[0].Id != sender(2).Id {
		t.Fatalf("the third does not begin: %v", p.to)
	}
	first := p.mail(u, &draw{sender(0), "n2", 64 << 10, true})
	second := p.mail(u, &draw{sender(2), "n3", 64 << 10, true})
	if len(first) != 1 || len(second) != 0 {
		t.Fatalf("%d and %d chunks went at once", len(first), len(second))
	}
	clock.now = clock.now.Add(time.Second / 16)
	if sent := p.mail(u, rateAllows{}); len(sent) != 1 {
		t.Fatalf("%d chunks went after their time", len(sent))
	}
}
