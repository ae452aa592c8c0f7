package actors

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/troupe-raft/troupe/messages"
)

// adder counts the commands that it is given, rejects "no", and answers with what the command says.
type adder struct {
	total int
	given []uint64
}

func (a *adder) Apply(entries []Entry) []Result {
	results := make([]Result, len(entries))
	for i, e := range entries {
		a.total++
		a.given = append(a.given, e.Index)
		results[i].Value = fmt.Appendf(nil, "%s %d", e.Command, a.total)
		if string(e.Command) == "no" {
			results[i].Err = errors.New("never")
		}
	}
	return results
}

func (a *adder) Query(context.Context, []byte) ([]byte, error) { return fmt.Append(nil, a.total), nil }
func (a *adder) Snapshot() (View, error)                       { return ViewOf(fmt.Append(nil, a.total)), nil }
func (a *adder) Restore(r io.Reader) error                     { _, err := fmt.Fscan(r, &a.total); return err }

// tale is a log for one interpreter, applied entry by entry.
type tale struct {
	t *testing.T
	interpreter
	time uint64 // to be stamped on the next entry
}

func newTale(t *testing.T) *tale {
	return &tale{t: t, interpreter: interpreter{sm: &adder{}, sessions: newSessions()}}
}

func (l *tale) entry(e messages.EntryView) Result {
	l.t.Helper()
	e.Term, e.Time, l.time = 1, l.time, 0
	outcomes := l.apply(l.applied+1, []messages.EncodedEntry{e.AppendTo(nil)})
	if len(outcomes) != 1 || outcomes[0].index != l.applied {
		l.t.Fatalf("entry %d came to %v", l.applied, outcomes)
	}
	return outcomes[0].Result
}

var testLimits = SessionLimits{Sessions: 2, Window: 4, AnswerBytes: 1000, Keep: 30_000_000_000, TTL: 60_000_000_000}

func openEntry(nonce uint64, limits SessionLimits) messages.EntryView {
	data := encode(&messages.OpenSession{Nonce: nonce, Limits: limits.encoded()})
	return messages.EntryView{Kind: messages.Entry_KIND_OPEN_SESSION, Data: data}
}

func (l *tale) open(nonce uint64) (messages.SessionID, error) {
	r := l.entry(openEntry(nonce, testLimits))
	if r.Err != nil {
		return messages.SessionID{}, r.Err
	}
	o, err := DecodeOpenedSession(r.Value)
	if err != nil || o.Window != testLimits.Window {
		l.t.Fatalf("opened %v, %v", o, err)
	}
	return o.ID, nil
}

func (l *tale) say(id messages.SessionID, serial, lowest uint64, command string) Result {
	session := messages.SessionCommand{Session: id, Serial: serial, Lowest: lowest}
	return l.entry(messages.EntryView{Kind: messages.Entry_KIND_COMMAND, Data: []byte(command), Session: session})
}

func (l *tale) close(id messages.SessionID) {
	l.entry(messages.EntryView{Kind: messages.Entry_KIND_CLOSE_SESSION, Session: messages.SessionCommand{Session: id}})
}

func (l *tale) wants(what string, r Result, value string, err error) {
	l.t.Helper()
	if string(r.Value) != value || !errors.Is(r.Err, err) {
		l.t.Errorf("%s: %q, %v; not %q, %v", what, r.Value, r.Err, value, err)
	}
}

// A command takes effect once, and whoever repeats it gets the first answer (thesis 6.3).
func TestACommandOfASessionTakesEffectOnce(t *testing.T) {
	l := newTale(t)
	s, _ := l.open(7)
	if again, _ := l.open(7); again != s {
		t.Errorf("opened again with the same nonce: %v, not %v", again, s)
	}
	l.wants("the first", l.say(s, 1, 1, "a"), "a 1", nil)
	l.wants("another, out of order", l.say(s, 3, 1, "b"), "b 2", nil)
	l.wants("the first again", l.say(s, 1, 1, "a"), "a 1", nil)
	l.wants("what is between", l.say(s, 2, 1, "c"), "c 3", nil)
	l.wants("the other again", l.say(s, 3, 1, "b"), "b 2", nil)
	var rejected *RejectedError
	for range 2 {
		if r := l.say(s, 4, 4, "no"); !errors.As(r.Err, &rejected) || rejected.Reason.Error() != "never" || string(r.Value) != "no 4" {
			t.Errorf("a rejection: %q, %v", r.Value, r.Err)
		}
	}
	l.wants("what the client has", l.say(s, 3, 3, "b"), "", ErrSerialBelowLowest)
	l.wants("the window's last", l.say(s, 7, 4, "d"), "d 5", nil)
	l.wants("beyond the window", l.say(s, 8, 4, "e"), "", ErrBeyondWindow)
	l.wants("no serial", l.say(s, 0, 0, "e"), "", ErrSerialBelowLowest)
	l.wants("that index, and another nonce", l.say(messages.SessionID{Index: s.Index, Nonce: 8}, 1, 1, "f"), "", ErrSessionGone)
	l.wants("its nonce, and another index", l.say(messages.SessionID{Index: 99, Nonce: 7}, 1, 1, "f"), "", ErrSessionGone)
	l.close(s)
	l.wants("after the end", l.say(s, 9, 9, "g"), "", ErrSessionGone)
	l.close(s)
	if total := l.sm.(*adder).total; total != 5 {
		t.Errorf("%d commands took effect", total)
	}
}

// Which session ends is decided by the log: by the order of commands, and by log time.
func TestWhichSessionEnds(t *testing.T) {
	l := newTale(t)
	l.time = 1000
	a, _ := l.open(1)
	b, _ := l.open(2)
	if _, err := l.open(3); !errors.Is(err, ErrTooManySessions) {
		t.Errorf("a third one: %v", err)
	}
	l.time = 20_000
	l.say(a, 1, 1, "x")
	l.say(b, 1, 1, "b")
	l.time = 30_000
	l.say(a, 2, 1, "x")
	l.time = 45_000
	l.say(b, 1, 1, "b")
	l.time = 50_001 // b is idle for 30 s: to repeat a command is not to use a session
	c, err := l.open(3)
	if err != nil {
		t.Fatal(err)
	}
	l.wants("what was evicted", l.say(b, 2, 1, "x"), "", ErrSessionGone)
	l.time = 10 // log time never falls
	l.wants("what was used later", l.say(a, 3, 2, "y"), "y 4", nil)
	l.time = 110_000
	l.wants("until its time is over", l.say(c, 1, 1, "z"), "z 5", nil)
	l.time = 110_001
	l.wants("a ended meanwhile", l.say(a, 4, 4, "x"), "", ErrSessionGone)
	l.wants("c did not", l.say(c, 2, 2, "x"), "x 6", nil)
	if n := len(l.sessions.view().sessions); n != 1 {
		t.Errorf("%d sessions are left", n)
	}
}

// When answers take too much, the oldest go. Their commands are not applied again.
func TestAnswersThatAreNotKept(t *testing.T) {
	l := newTale(t)
	a, _ := l.open(1)
	b, _ := l.open(2)
	large := string(bytes.Repeat([]byte("x"), 600))
	l.wants("a", l.say(a, 1, 1, large), large+" 1", nil)
	l.wants("b", l.say(b, 1, 1, large), large+" 2", nil)
	l.wants("a again", l.say(a, 1, 1, large), "", ErrAnswerNotKept)
	l.wants("b again", l.say(b, 1, 1, large), large+" 2", nil)
	l.wants("an answer above the limit is given, ", l.say(a, 2, 1, large+large), large+large+" 3", nil)
	l.wants("and not kept", l.say(a, 2, 1, large+large), "", ErrAnswerNotKept)
	if l.sm.(*adder).total != 3 {
		t.Error("a command was applied again")
	}
}

// randomEntries are a log of sessions that meets every limit.
func randomEntries(rng *rand.Rand, n int) []messages.EncodedEntry {
	var all []messages.EncodedEntry
	var opened []messages.SessionID
	time := uint64(0)
	for i := range n {
		e := messages.EntryView{Term: 1}
		switch k := rng.IntN(20); {
		case k == 0:
			limits := testLimits
			limits.Sessions, limits.Window = 1+rng.Uint64N(4), 1+rng.Uint64N(70)
			limits.AnswerBytes = rng.Uint64N(800)
			nonce := rng.Uint64N(8)
			e = openEntry(nonce, limits)
			e.Term = 1
			opened = append(opened, messages.SessionID{Index: uint64(i + 1), Nonce: nonce})
		case k == 1 && len(opened) > 0:
			e.Kind, e.Session.Session = messages.Entry_KIND_CLOSE_SESSION, opened[rng.IntN(len(opened))]
		case k == 2:
			e.Kind = messages.Entry_KIND_NOOP
		case k < 6 || len(opened) == 0:
			e.Data = []byte("plain")
		default:
			e.Data = bytes.Repeat([]byte("c"), rng.IntN(60))
			if rng.IntN(8) == 0 {
				e.Data = []byte("no")
			}
			lowest := rng.Uint64N(uint64(i)/8 + 2)
			e.Session = messages.SessionCommand{
				Session: opened[max(0, len(opened)-1-rng.IntN(4))], Serial: lowest + rng.Uint64N(5), Lowest: lowest,
			}
		}
		if rng.IntN(4) == 0 {
			time += rng.Uint64N(20_000)
			e.Time = time
		}
		all = append(all, e.AppendTo(nil))
	}
	return all
}

func stored(t *testing.T, i *interpreter) []byte {
	var b bytes.Buffer
	if _, err := i.sessions.view().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// How many entries are applied together makes no difference to what the sessions are, nor do restarts from a snapshot.
func TestSessionsDependOnTheLogAlone(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		entries := randomEntries(rng, 200)
		one, some := newTale(t), newTale(t)
		var tables [][]byte
		for i, e := range entries {
			one.apply(uint64(i+1), []messages.EncodedEntry{e})
			tables = append(tables, stored(t, &one.interpreter))
		}
		for at := 0; at < len(entries); {
			n := min(1+rng.IntN(30), len(entries)-at)
			some.apply(uint64(at+1), entries[at:at+n])
			at += n
			if !bytes.Equal(stored(t, &some.interpreter), tables[at-1]) {
				t.Fatalf("seed %d: after entry %d the sessions are others than when entries are applied one by one", seed, at)
			}
			if rng.IntN(4) == 0 {
				some = restoredFrom(t, some)
			}
		}
		if a, b := one.sm.(*adder).total, some.sm.(*adder).total; a != b {
			t.Fatalf("seed %d: %d commands took effect, and %d", seed, a, b)
		}
	}
}

func restoredFrom(t *testing.T, l *tale) *tale {
	view, err := l.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := view.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	again := newTale(t)
	header := &messages.SnapshotHeader{Machine: nameOf(l.sm), Sessions: hasSessions(view)}
	if err := again.restore(header, l.applied, &b); err != nil {
		t.Fatal(err)
	}
	return again
}

// A view stays as it was, whatever is applied while it is written.
func TestAViewOfSessionsStaysAsItWas(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 2))
		entries := randomEntries(rng, 200)
		l := newTale(t)
		at := 1 + rng.IntN(150)
		l.apply(1, entries[:at])
		want := stored(t, &l.interpreter)
		view := l.sessions.view()
		for _, e := range entries[at:] {
			l.apply(l.applied+1, []messages.EncodedEntry{e})
		}
		var got bytes.Buffer
		if _, err := view.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("seed %d: the view changed (%v)", seed, err)
		}
	}
}

// What a snapshot says of sessions may be damaged: that is an error, and takes no memory that is not filled.
func TestDamagedSessions(t *testing.T) {
	l := newTale(t)
	s, _ := l.open(1)
	l.say(s, 1, 1, "a")
	good := stored(t, &l.interpreter)
	for n := range good {
		if _, err := restoreSessions(bufio.NewReader(bytes.NewReader(good[:n]))); !errors.Is(err, errBadSessions) {
			t.Errorf("%d of %d bytes: %v", n, len(good), err)
		}
	}
}

// A group that begins with a backup does not know its sessions.
func TestABackupBeginsWithoutSessions(t *testing.T) {
	l := newTale(t)
	s, _ := l.open(1)
	view, _ := l.snapshot()
	var b bytes.Buffer
	_, _ = view.WriteTo(&b)
	again := newTale(t)
	header := &messages.SnapshotHeader{Machine: nameOf(l.sm), Sessions: true}
	if err := again.restore(header, 0, &b); err != nil || again.applied != 0 || again.sessions.find(s) != nil {
		t.Errorf("%v, applied %d, the session is there: %v", err, again.applied, again.sessions.find(s) != nil)
	}
}

func BenchmarkCommandOfASession(b *testing.B) {
	for _, sessions := range []bool{false, true} {
		b.Run(fmt.Sprint(sessions), func(b *testing.B) {
			i := interpreter{sm: &register{}, sessions: newSessions()}
			open := openEntry(1, SessionLimits{Sessions: 10, Window: 4096, AnswerBytes: 1 << 20, TTL: 1e12})
			i.apply(1, []messages.EncodedEntry{open.AppendTo(nil)})
			b.ReportAllocs()
			var batch []messages.EncodedEntry
			for n := range b.N {
				e := messages.EntryView{Term: 1, Data: []byte("x=y")}
				if sessions {
					serial := uint64(n + 1)
					e.Session = messages.SessionCommand{
						Session: messages.SessionID{Index: 1, Nonce: 1}, Serial: serial, Lowest: max(serial, 65) - 64,
					}
				}
				if batch = append(batch, e.AppendTo(nil)); len(batch) == 64 {
					i.apply(i.applied+1, batch)
					batch = batch[:0]
				}
			}
		})
	}
}
