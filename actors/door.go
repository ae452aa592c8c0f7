package actors

import (
	"container/list"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
)

// Answer ends a proposal or a query. Err is nil, a *RejectedError, a *NotLeaderError, one of this package's errors, or what
// the state machine's Query returned.
type Answer struct {
	// Index is the command's place in the log. A query's answer reflects the log up to here.
	Index uint64
	Value []byte
	Err   error
}

// Caller waits for one Answer. Answer is called exactly once, from any goroutine, and must not block.
type Caller interface{ Answer(Answer) }

// Door is how callers on this node reach their group's server: it counts what is admitted before any mail enters the server's
// mailbox (a flood must not delay heartbeats), and mails one bell for all that gathers while the server is busy. It is safe
// for concurrent use.
type Door struct {
	root *actor.RootContext
	pid  *actor.PID
	// machine is named by the server's path, so that stale reads reach it without the server.
	machine *actor.PID
	limits  Limits
	clock   Clock
	board   board
	beside  beside

	admittedBytes    atomic.Int64
	admittedCommands atomic.Int64

	mu        sync.Mutex
	proposals []proposal
	queries   []query
	snapshots []SnapshotCaller
	handovers []handoverCall
	rung      bool
	closed    error
	// lookups are with the machine, which may die before it comes to them: a mailbox that ends drops what is in it.
	lookups list.List
	// open: the machine runs. Mail to an actor that does not run yet is lost.
	open bool
	// restoring: the machine's state is not there.
	restoring atomic.Bool
}

// proposal is what an entry is to be made of.
type proposal struct {
	kind    messages.Entry_Kind
	data    []byte
	session messages.SessionCommand
	caller  Caller
}

type query struct {
	query  []byte
	caller Caller
	// barrier: the state machine is not asked.
	barrier bool
	read    Read
}

// bytes are what the caller was admitted with: the leader adds to an opening.
func (p *proposal) bytes() int {
	if p.kind == messages.Entry_KIND_OPEN_SESSION {
		return 0
	}
	return len(p.data)
}

// bell tells the server that callers wait at the door.
type bell struct{}

// PID is the server's.
func (d *Door) PID() *actor.PID { return d.pid }

// Limits are the group's, with the defaults where none were given.
func (d *Door) Limits() Limits { return d.limits }

// Status is as of the last message that the server handled.
func (d *Door) Status() Status { return d.board.status() }

// Replication is how this server sends to its followers, if it leads; otherwise it is empty. It must not be changed.
func (d *Door) Replication() []Replication {
	if all := d.board.replication.Load(); all != nil {
		return *all
	}
	return nil
}

// Changed is closed at the next change of the status. Changes of its indexes do not count.
func (d *Door) Changed() <-chan struct{} { return d.board.change() }

// Applied is closed when this server has applied the entry at index. Who does not wait any longer calls giveUp, which may be called at
// any time. The error is ErrOverloaded when too many wait.
func (d *Door) Applied(index uint64) (applied <-chan struct{}, giveUp func(), err error) {
	w := d.board.awaited.wait(index)
	if w == nil {
		return nil, nil, ErrOverloaded
	}
	d.board.awaited.applied(d.board.applied.Load()) // it may have been before it was waited for
	return w.applied, func() { d.board.awaited.giveUp(w) }, nil
}

// Propose asks for a command to be replicated and applied. The command must not change until the caller has its answer.
func (d *Door) Propose(command []byte, caller Caller) {
	d.ProposeIn(messages.SessionCommand{}, command, caller)
}

// ProposeIn asks for a command of a session. However often that is done, at whatever members, the command is applied once, and each of the
// callers gets its first answer (thesis 6.3).
func (d *Door) ProposeIn(session messages.SessionCommand, command []byte, caller Caller) {
	d.propose(proposal{messages.Entry_KIND_COMMAND, command, session, caller})
}

// OpenSession asks for a session. The answer's value is an [OpenedSession]. Who asks again with the same nonce gets the same session.
func (d *Door) OpenSession(nonce uint64, caller Caller) {
	session := messages.SessionCommand{Session: messages.SessionID{Nonce: nonce}} // the leader adds its limits
	d.propose(proposal{kind: messages.Entry_KIND_OPEN_SESSION, session: session, caller: caller})
}

// CloseSession ends a session. It may have ended before.
func (d *Door) CloseSession(id messages.SessionID, caller Caller) {
	session := messages.SessionCommand{Session: id}
	d.propose(proposal{kind: messages.Entry_KIND_CLOSE_SESSION, session: session, caller: caller})
}

func (d *Door) propose(p proposal) {
	switch p.kind {
	case messages.Entry_KIND_COMMAND, messages.Entry_KIND_OPEN_SESSION, messages.Entry_KIND_CLOSE_SESSION,
		messages.Entry_KIND_CONFIGURATION:
	default:
		p.caller.Answer(Answer{Err: fmt.Errorf("nobody may propose an entry of the kind %d", p.kind)})
		return
	}
	if n := len(p.data); n > d.limits.EntryBytes {
		p.caller.Answer(Answer{Err: fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, n, d.limits.EntryBytes)})
		return
	}
	if !d.admit(len(p.data)) {
		p.caller.Answer(Answer{Err: ErrOverloaded})
		return
	}
	if err := d.enter(func() { d.proposals = append(d.proposals, p) }); err != nil {
		d.refuse([]proposal{p}, nil, err)
	}
}

// Query asks for a linearizable read (section 8, thesis 6.4).
func (d *Door) Query(q []byte, caller Caller) { d.Read(Read{}, q, caller) }

// Read asks for a read of some consistency.
func (d *Door) Read(r Read, q []byte, caller Caller) {
	if a, ok := d.readUnheld(r, q); ok {
		caller.Answer(a)
		return
	}
	if r.Consistency == Stale {
		d.QueryStale(q, caller)
		return
	}
	if !d.admit(len(q)) {
		caller.Answer(Answer{Err: ErrOverloaded})
		return
	}
	d.ask(query{query: q, caller: caller, read: r})
}

// Barrier is a linearizable read of nothing: when it is answered, this server has applied all that was acknowledged before the call.
func (d *Door) Barrier(caller Caller) {
	if !d.admit(0) {
		caller.Answer(Answer{Err: ErrOverloaded})
		return
	}
	d.ask(query{caller: caller, barrier: true})
}

func (d *Door) ask(read query) {
	if err := d.enter(func() { d.queries = append(d.queries, read) }); err != nil {
		d.refuseQueries([]query{read}, err)
	}
}

// Snapshot asks for a snapshot that has all that is applied here. If there is none yet, one is taken. The file stays as long as it is the
// newest, or is open.
func (d *Door) Snapshot(caller SnapshotCaller) {
	d.mu.Lock()
	err := d.closed
	if err == nil {
		d.snapshots = append(d.snapshots, caller)
	}
	d.mu.Unlock()
	if err != nil {
		caller.Snapshot(nil, err)
		return
	}
	d.root.Send(d.pid, wantSnapshot{})
}

// takeSnapshots are the callers who want one.
func (d *Door) takeSnapshots() []SnapshotCaller {
	d.mu.Lock()
	defer d.mu.Unlock()
	callers := d.snapshots
	d.snapshots = nil
	return callers
}

// QueryStale reads what this node has applied, however old that is: on any node, and without a quorum. While a snapshot is installed,
// the answer is ErrRestoring.
func (d *Door) QueryStale(q []byte, caller Caller) {
	if !d.admit(len(q)) {
		caller.Answer(Answer{Err: ErrOverloaded})
		return
	}
	read := []query{{query: q, caller: caller}}
	if d.restoring.Load() {
		d.refuseQueries(read, ErrRestoring)
		return
	}
	d.look(&lookup{queries: read})
}

// look hands reads to the machine, which answers them from now on.
func (d *Door) look(l *lookup) {
	d.mu.Lock()
	err, open := d.closed, d.open
	if err == nil {
		l.place = d.lookups.PushBack(l)
	}
	d.mu.Unlock()
	switch {
	case err != nil:
		d.refuseQueries(l.queries, err)
	case open:
		d.root.Send(d.machine, l)
	}
}

// opened says that the machine runs, and hands it the reads that came before.
func (d *Door) opened() {
	var early []any
	d.mu.Lock()
	d.open = true
	for e := d.lookups.Front(); e != nil; e = e.Next() {
		early = append(early, e.Value)
	}
	d.mu.Unlock()
	for _, l := range early {
		d.root.Send(d.machine, l)
	}
}

// looked forgets reads that the machine has answered.
func (d *Door) looked(l *lookup) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lookups.Remove(l.place)
}

// refuseLookups answers the reads that a machine leaves behind. Only the machine calls it, as the last thing it does, with the
// door closed: no more will come.
func (d *Door) refuseLookups() {
	d.mu.Lock()
	var left []query
	for e := d.lookups.Front(); e != nil; e = e.Next() {
		left = append(left, e.Value.(*lookup).queries...)
	}
	d.lookups.Init()
	err := d.closed
	d.mu.Unlock()
	d.refuseQueries(left, err)
}

// StorageFailed tells the server that the node's disk failed: it answers all its callers and promises nothing any more.
func (d *Door) StorageFailed(err error) { d.root.Send(d.pid, &storageFailed{err}) }

// LeaderLost hints that the connection to the node with this address broke. Its followers start their pre-vote early.
func (d *Door) LeaderLost(address string) { d.root.Send(d.pid, &connectionLost{address}) }

// PeerConnected hints that the node with this address can be reached again. Its leader need not wait for the next heartbeat.
func (d *Door) PeerConnected(address string) { d.root.Send(d.pid, &connectionMade{address}) }

func (d *Door) admit(bytes int) bool {
	if d.admittedCommands.Add(1) > int64(d.limits.AdmittedCommands) {
		d.admittedCommands.Add(-1)
		return false
	}
	if d.admittedBytes.Add(int64(bytes)) > int64(d.limits.AdmittedBytes) {
		d.release(1, bytes)
		return false
	}
	return true
}

// release gives back what admit took. Whoever answers the callers calls it.
func (d *Door) release(commands, bytes int) {
	d.admittedCommands.Add(-int64(commands))
	d.admittedBytes.Add(-int64(bytes))
}

func (d *Door) enter(add func()) error {
	d.mu.Lock()
	if d.closed != nil {
		defer d.mu.Unlock()
		return d.closed
	}
	add()
	ring := !d.rung
	d.rung = true
	d.mu.Unlock()
	if ring {
		d.root.Send(d.pid, bell{})
	}
	return nil
}

// take empties the door; the next to enter rings again. The server gives back the slices of its last take, for reuse.
func (d *Door) take(proposals []proposal, queries []query) ([]proposal, []query, []handoverCall) {
	clear(proposals)
	clear(queries)
	d.mu.Lock()
	defer d.mu.Unlock()
	proposals, d.proposals = d.proposals, proposals[:0]
	queries, d.queries = d.queries, queries[:0]
	handovers := d.handovers
	d.handovers, d.rung = nil, false
	return proposals, queries, handovers
}

func (d *Door) refusal() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// refuse answers callers with an error, and gives back what they had been admitted for.
func (d *Door) refuse(proposals []proposal, queries []query, err error) {
	for _, p := range proposals {
		d.release(1, p.bytes())
		p.caller.Answer(Answer{Err: err})
	}
	d.refuseQueries(queries, err)
}

func (d *Door) refuseQueries(queries []query, err error) {
	for _, q := range queries {
		d.release(1, len(q.query))
		q.caller.Answer(Answer{Err: err})
	}
}

// close refuses whoever comes from now on. The first reason stays.
func (d *Door) close(err error) {
	d.beside.closed.Store(true)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed == nil {
		d.closed = err
	}
}
