package cluster

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// told notes who was answered.
type told struct {
	n   int
	all *[]int
}

func (t told) Answer(actors.Answer) { *t.all = append(*t.all, t.n) }

// Who answers does not wait while others have the courier: they tell the callers, in the order in which those were answered.
func TestWhoAnswersDoesNotWaitForTheCourier(t *testing.T) {
	c := &courier{session: actors.NewClientSession(func() uint64 { return 1 })}
	var all []int
	c.mu.Lock()
	for n := range 10 {
		e := &errand{courier: c, read: &actors.Read{}, caller: told{n, &all}}
		e.Answer(actors.Answer{}) // would never return
	}
	if len(all) > 0 {
		t.Fatalf("%v were answered while the courier was locked", all)
	}
	c.release()
	if !slices.Equal(all, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Fatalf("answered: %v", all)
	}
	last := &errand{courier: c, read: &actors.Read{}, caller: told{10, &all}}
	if last.Answer(actors.Answer{}); len(all) != 11 {
		t.Fatal("nobody had the courier, and the caller was not told")
	}
}

// What is answered after others were settled, and before the courier is unlocked, is not forgotten.
func TestNoAnswerIsForgotten(t *testing.T) {
	var all []int
	c := &courier{}
	between := func() {}
	c.session = actors.NewClientSession(func() uint64 { // it is asked when a session is gone
		between()
		return 1
	})
	c.session.Opened(actors.OpenedSession{ID: messages.SessionID{Nonce: 1}, Window: 10})
	gone := &errand{courier: c, caller: told{0, &all}, until: time.Unix(1, 0)}
	if _, ok := c.session.Send(&gone.command); !ok {
		t.Fatal("there is no session")
	}
	between = func() { (&errand{courier: c, read: &actors.Read{}, caller: told{1, &all}}).Answer(actors.Answer{}) }
	gone.Answer(actors.Answer{Err: actors.ErrSessionGone})
	if !slices.Equal(all, []int{0, 1}) {
		t.Fatalf("answered: %v", all)
	}
}

// slow is a caller who lets others be answered while he is told.
type slow struct {
	told
	meanwhile func()
}

func (s slow) Answer(a actors.Answer) {
	s.meanwhile()
	s.told.Answer(a)
}

// What is settled later is delivered later, also when another goroutine settles it while the first is being delivered. It does not wait.
func TestAnswersComeInOrder(t *testing.T) {
	c := &courier{session: actors.NewClientSession(func() uint64 { return 1 })}
	var all []int
	answer := func(caller actors.Caller) {
		(&errand{courier: c, read: &actors.Read{}, caller: caller}).Answer(actors.Answer{})
	}
	answer(slow{told{0, &all}, func() {
		others := make(chan struct{})
		go func() {
			defer close(others)
			answer(told{1, &all})
			answer(told{2, &all})
		}()
		<-others
	}})
	if !slices.Equal(all, []int{0, 1, 2}) {
		t.Fatalf("answered: %v", all)
	}
}

// A command is with the door behind those that waited for room before it, and needs no queue when none did.
func TestACommandDoesNotOvertakeThoseThatWaited(t *testing.T) {
	var d deliveries
	command := []delivery{{}}
	if got := d.comes(parcel{first: command}); got != free {
		t.Fatalf("a command by itself has turn %d", got)
	}
	if got := d.comes(parcel{ready: command}); got != mine {
		t.Fatalf("a command that waited has turn %d", got)
	}
	if got := d.comes(parcel{first: command}); got != others {
		t.Fatalf("a command behind one that waited has turn %d", got)
	}
	d.running.Store(false) // and who delivered has not looked again
	if got := d.comes(parcel{first: command}); got != next {
		t.Fatalf("a command behind one that is queued has turn %d", got)
	}
}

// kept notes what a caller was told.
type kept struct{ answers []actors.Answer }

func (k *kept) Answer(a actors.Answer) { k.answers = append(k.answers, a) }

// Of reads that are to be asked again in a moment there are no more than the group admits.
func TestReadsThatAreAskedAgainAreBounded(t *testing.T) {
	for name, test := range map[string]struct{ pausing, bytes, more int }{
		"reads": {2, 2, 0},
		"bytes": {1, 8, 3},
	} {
		c := &courier{patient: true, limits: actors.Limits{AdmittedCommands: 2, AdmittedBytes: 10}}
		c.pausing, c.pausingBytes = test.pausing, test.bytes
		var told kept
		e := &errand{courier: c, read: &actors.Read{}, data: make([]byte, test.more), caller: &told}
		e.Answer(actors.Answer{Err: actors.ErrNotLeader})
		if len(told.answers) != 1 || !errors.Is(told.answers[0].Err, actors.ErrOverloaded) {
			t.Errorf("%s: it is told %v", name, told.answers)
		}
	}
}

// A read makes room when it is asked again, or would have been.
func TestReadsThatPausedMakeRoom(t *testing.T) {
	c := &courier{limits: actors.Limits{AdmittedCommands: 2, AdmittedBytes: 10}}
	for range 3 {
		c.mu.Lock()
		for range 2 {
			// Nobody waits for it any more: there is no door.
			if !c.pause(&errand{courier: c, read: &actors.Read{}, data: make([]byte, 5), over: true}) {
				t.Error("there is no room")
			}
		}
		c.mu.Unlock()
		for deadline := time.Now().Add(10 * time.Second); c.pauses() != [2]int{}; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%v still pause", c.pauses())
			}
		}
	}
}

func (c *courier) pauses() [2]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return [2]int{c.pausing, c.pausingBytes}
}

// tells passes on what a caller is told.
type tells chan error

func (t tells) Answer(a actors.Answer) { t <- a.Err }

// The session may go while nobody but those who wait for room in it has any use for one: they get a new one, or are told why not.
func TestWhoWaitsForRoomGetsANewSession(t *testing.T) {
	c := &courier{
		door:    &actors.Door{}, // it admits nothing
		limits:  actors.Limits{AdmittedCommands: 2, AdmittedBytes: 10},
		session: actors.NewClientSession(func() uint64 { return 1 }),
	}
	c.session.Opened(actors.OpenedSession{ID: messages.SessionID{Nonce: 1}, Window: 1})
	var gone, waits kept
	first := &errand{courier: c, caller: &gone}
	for range 2 { // a copy of it was lost
		if _, ok := c.session.Send(&first.command); !ok {
			t.Fatal("there is no session")
		}
	}
	(&errand{courier: c, caller: &waits}).send()
	if len(waits.answers) > 0 {
		t.Fatalf("it was told %v, and should wait for room", waits.answers)
	}
	first.Answer(actors.Answer{Err: actors.ErrSessionGone})
	if len(gone.answers) != 1 || !errors.Is(gone.answers[0].Err, actors.ErrOutcomeUnknown) {
		t.Errorf("whose session is gone was told %v", gone.answers)
	}
	if len(waits.answers) != 1 || !errors.Is(waits.answers[0].Err, actors.ErrOverloaded) {
		t.Errorf("who waited was told %v, not what became of the new session", waits.answers)
	}
}

// Mail has its answer when its time is over, though nobody opens a session meanwhile, and is not proposed when somebody does later.
func TestMailDoesNotWaitForASessionForEver(t *testing.T) {
	c := &courier{
		limits:  actors.Limits{AdmittedCommands: 4, AdmittedBytes: 10},
		session: actors.NewClientSession(func() uint64 { return 1 }),
		opening: true,
	}
	told := make(tells, 4)
	now := time.Now()
	for _, until := range []time.Time{now.Add(time.Hour), now.Add(40 * time.Millisecond), {}, now.Add(20 * time.Millisecond)} {
		(&errand{courier: c, data: []byte("a"), caller: told, until: until}).send()
	}
	for range 2 {
		select {
		case err := <-told:
			if !errors.Is(err, actors.ErrOverloaded) {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing was told")
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) != 2 || c.waitingBytes != 2 || len(told) > 0 || !c.lateAt.Equal(now.Add(time.Hour)) {
		t.Errorf("%d wait, with %d bytes, the next is refused at %v", len(c.waiting), c.waitingBytes, c.lateAt)
	}
	c.late.Stop()
}
