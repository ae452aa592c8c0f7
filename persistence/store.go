package persistence

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// Options of Open.
type Options struct {
	// FS is the file system; nil: the operating system's.
	FS vfs.FS
	// NodeID is required, unless AnyNode. Another node's directory is refused.
	NodeID string
	// Cluster is the operator's name for the cluster. A directory with another name is refused.
	Cluster string
	// AnyNode: whoever's directory it is, it is opened; but none is founded. NodeID and Cluster do not count.
	AnyNode bool
	// StoreID is used for a new directory only; 0: random.
	StoreID uint64
	// Logger gets Pebble's messages and failures; nil: nobody.
	Logger *slog.Logger
	// OnFailure is called once, from any goroutine, when the Store failed after Open: nothing is stored from then on.
	// It must not block. Failures during Open are returned by Open instead.
	OnFailure func(error)
	// MemTableSize is in bytes; 0: 12 to 20 MiB, by node. Simulations use less.
	MemTableSize int
	// Now is the clock that paces the fsync of the side file; nil: time.Now.
	Now func() time.Time
	// SequenceInterval is the time between two fsyncs of the side file; 0: one second, negative: after each synced write.
	SequenceInterval time.Duration
	// LogGranule is the distance in bytes of the marks that Recover returns, at most; 0: 64 KiB.
	LogGranule int
	// ExciseBytes is from how many bytes on what a cut leaves waits for Reclaim; smaller cuts delete at once. 0: 8 MiB.
	ExciseBytes int

	seeding bool // the directory is being made by Seed
}

// Store is the durable state of one node. Write, Group and SyncSequence take turns; Read and Recover run beside them.
// All methods may be called from any goroutine.
type Store struct {
	dir      string
	options  Options
	log      *slog.Logger
	memTable int
	fence    *fence

	compactions *compactions
	db          *pebble.DB

	// turn is held while batches are put together or written. What follows belongs to its holder.
	turn    chan struct{}
	pending *pebble.Batch
	number  uint64 // sequence number of the last write
	synced  uint64 // of the last one that is durable
	seen    uint64 // of the last one when FlushCut was called
	// unflushed: a cut deleted something since the last flush that FlushCut began.
	unflushed bool
	states    map[GroupID]*groupState
	side      *sequence
	sideSync  time.Time
	record    messages.HardState
	scratch   []byte

	identity   atomic.Pointer[messages.Identity]
	snapshots  *snapshots
	cuts       *cuts
	corruption *corruption
	closed     atomic.Bool
	mu         sync.Mutex // guards records, and reads from starting after Close
	records    map[string]*messages.GroupRecord
	reads      sync.WaitGroup
}

// Formats of the directory. A new one has the first; the first pointer to a snapshot raises it.
const (
	formatOfLogs      = 1
	formatOfSnapshots = 2

	newestFormat = formatOfSnapshots
)

// Open opens the directory, and founds a store there when it is new. It refuses, and changes no record, when the directory
// is in use (ErrLocked), belongs to somebody else (ErrForeign), was written by a newer troupe (ErrNewer) or by one before the first
// release (ErrOlder), or has lost what was acknowledged (ErrDamaged). The caller closes the Store.
func Open(dir string, o Options) (*Store, error) {
	if o.NodeID == "" && !o.AnyNode {
		return nil, errors.New("persistence.Open needs a node id")
	}
	s := newStore(dir, o)
	if o.AnyNode {
		if err := s.findStore(); err != nil {
			return nil, err
		}
	}
	if err := s.options.FS.MkdirAll(dir, privateDir); err != nil {
		return nil, sayOf(ErrFailed, err, "%s cannot be a data directory: give the node another --data-dir", dir)
	}
	err := s.orFail(s.open)
	if err == nil {
		err = s.fence.arm(s.failed)
	}
	if err != nil {
		s.fence.abandon()
		return nil, err
	}
	return s, nil
}

func newStore(dir string, o Options) *Store {
	if o.MemTableSize == 0 {
		o.MemTableSize = memTableSize(o.NodeID)
	}
	if o.FS == nil {
		o.FS = &paced{FS: prepared{private{vfs.Default}, o.MemTableSize + o.MemTableSize/10}} // a log grows to so many bytes
		// Pebble knows the locks of this process by name.
		if absolute, err := filepath.Abs(dir); err == nil {
			dir = absolute
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.LogGranule == 0 {
		o.LogGranule = defaultGranule
	}
	if o.ExciseBytes == 0 {
		o.ExciseBytes = defaultExcise
	}
	if o.SequenceInterval == 0 {
		o.SequenceInterval = time.Second
	}
	return &Store{
		dir: dir, options: o, log: o.Logger, memTable: o.MemTableSize, fence: newFence(o.FS),
		compactions: newCompactions(), snapshots: newSnapshots(), cuts: newCuts(), corruption: newCorruption(),

		turn:    make(chan struct{}, 1),
		states:  map[GroupID]*groupState{},
		records: map[string]*messages.GroupRecord{},
	}
}

func (s *Store) failed(err error) {
	s.log.Error("the store failed", "dir", s.dir, "error", err)
	if s.options.OnFailure != nil {
		s.options.OnFailure(err)
	}
}

// orFail runs work and returns its error. When the disk fails work never returns, and orFail returns the failure.
func (s *Store) orFail(work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-s.fence.failing:
		return s.fence.failure()
	}
}

func (s *Store) open() (err error) {
	aside := &aside{fence: s.fence, dir: s.dir}
	defer aside.pending.Wait()
	if err := s.refuseSeeding(); err != nil {
		return err
	}
	options := s.pebbleOptions(aside)
	if options.ErrorIfNotExists, err = s.hadDatabase(); err != nil {
		return err
	}
	s.db, err = pebble.Open(s.dir, options)
	if err != nil {
		return s.cannotOpen(err)
	}
	s.pending = s.db.NewBatch(pebble.WithInitialSizeBytes(64<<10), pebble.WithMaxRetainedSizeBytes(8<<20))
	if err := s.load(); err != nil {
		_ = s.db.Close()
		return err
	}
	s.sideSync, s.synced = s.options.Now(), s.number
	s.compactions.begin()
	return nil
}

// cannotOpen says in a sentence why Pebble did not open the directory.
func (s *Store) cannotOpen(err error) error {
	var locked *lockError
	var path *fs.PathError
	var number syscall.Errno
	ofSystem := errors.As(err, &path) || errors.As(err, &number)
	switch {
	case errors.As(err, &locked) && !errors.As(err, &path): // a PathError comes from creating the lock's file
		return sayOf(ErrLocked, err,
			"the directory %s is in use: stop the node that runs there, or give this one another --data-dir", s.dir)
	case strings.Contains(err.Error(), "unknown format major version"):
		return sayOf(ErrNewer, err, "the database in %s has a newer format: start a newer troupe", s.dir)
	case errors.Is(err, pebble.ErrDBDoesNotExist):
		return say(ErrDamaged, "the database in %s is gone, and other files show that there was one; %s", s.dir, wipeAdvice)
	case errors.Is(err, fs.ErrNotExist) || !ofSystem:
		return sayOf(ErrDamaged, err, "the database in %s is damaged; %s", s.dir, wipeAdvice)
	}
	return sayOf(nil, err, "cannot open the directory %s", s.dir)
}

// load reads, checks or founds what belongs to the store itself.
func (s *Store) load() error {
	found, err := readSide(s.fence, s.dir)
	if err != nil {
		return s.cannotReadSide(err)
	}
	id := &messages.Identity{}
	known, err := s.get(key(0, kindIdentity), id)
	if err != nil {
		return err
	}
	if !known {
		if id, err = s.foundStore(found); err != nil {
			return err
		}
	} else if err := s.check(id, found); err != nil {
		return err
	}
	s.identity.Store(id)
	if s.side, err = openSequence(s.fence, s.dir, id.StoreId, found.slot); err != nil {
		return err
	}
	if err := s.refuseStrangeKeys(); err != nil {
		return err
	}
	if err := s.loadGroups(); err != nil {
		return err
	}
	return s.loadSnapshots()
}

// refuseStrangeKeys looks for keys outside of what this version knows. Kinds of records within a group are recovery's.
func (s *Store) refuseStrangeKeys() error {
	known := [][2][]byte{
		{key(0, kindGroup), key(0, kindGroup+1)},
		{key(0, kindIdentity), append(key(0, kindIdentity), 0)},
		{key(0, kindSequence), append(key(0, kindSequence), 0)},
		{key(1, 0), {regionRecords + 1}},
		{{regionLogs}, {regionLogs + 1}},
	}
	iter, err := s.iter(nil, nil)
	if err != nil {
		return err
	}
	defer func() { _ = iter.Close() }()
	valid := iter.First()
	for _, span := range known {
		if valid && string(iter.Key()) < string(span[0]) {
			break
		}
		valid = iter.SeekGE(span[1])
	}
	if err := iter.Error(); err != nil {
		return s.cannotRead(err)
	}
	if valid {
		return s.strange(iter.Key())
	}
	return nil
}

// strange is the refusal of a key that this version does not know.
func (s *Store) strange(key []byte) error {
	return say(ErrNewer, "the key %q in %s is of a newer format than %d, "+
		"which is the newest that this troupe knows: start a newer troupe", key, s.dir, newestFormat)
}

func (s *Store) foundStore(found side) (*messages.Identity, error) {
	if found.number > 0 {
		return nil, say(ErrDamaged, "the database in %s is empty although %d writes were acknowledged; %s",
			s.dir, found.number, wipeAdvice)
	}
	iter, err := s.db.NewIter(nil)
	if err != nil {
		return nil, err
	}
	strange := iter.First()
	if err := iter.Close(); err != nil {
		return nil, err
	}
	if strange {
		return nil, say(ErrForeign, "the database in %s was not made by troupe: give the node another --data-dir", s.dir)
	}
	if s.options.AnyNode {
		return nil, say(ErrDamaged, "the database in %s is empty; %s", s.dir, wipeAdvice)
	}
	id := &messages.Identity{Format: formatOfLogs, NodeId: s.options.NodeID, StoreId: s.options.StoreID, Cluster: s.options.Cluster}
	for id.StoreId == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		id.StoreId = binary.BigEndian.Uint64(b[:])
	}
	if err := foundSequence(s.fence, s.dir, id.StoreId); err != nil {
		return nil, err
	}
	if err := s.set(key(0, kindIdentity), id); err != nil {
		return nil, err
	}
	return id, s.apply(true)
}

// check compares what is stored with what the operator says and with the side file.
func (s *Store) check(id *messages.Identity, found side) error {
	o := s.options
	if id.Format > newestFormat {
		return say(ErrNewer, "the directory %s has format %d, and this troupe knows formats up to %d: start a newer troupe",
			s.dir, id.Format, newestFormat)
	}
	if id.Format == 0 && len(id.ProtoReflect().GetUnknown()) > 0 {
		return say(ErrOlder, "the directory %s was written by a build of troupe from before the first release, "+
			"and this troupe knows formats from 1 to %d: start the build that wrote it, or give the node another --data-dir",
			s.dir, newestFormat)
	}
	if id.Format == 0 || id.NodeId == "" || id.StoreId == 0 {
		return say(ErrDamaged, "the identity stored in %s is incomplete; %s", s.dir, wipeAdvice)
	}
	if id.NodeId != o.NodeID && !o.AnyNode {
		return say(ErrForeign, "the directory %s belongs to node %s, not %s: start the node with --id %s, "+
			"or give it another --data-dir", s.dir, id.NodeId, o.NodeID, id.NodeId)
	}
	if id.Cluster != o.Cluster && !o.AnyNode {
		return say(ErrForeign, "the directory %s belongs to the cluster named %q, not %q: start the node with that name, "+
			"or give it another --data-dir", s.dir, id.Cluster, o.Cluster)
	}
	if !found.exists {
		return say(ErrDamaged, "the file %s is missing in %s, so nothing proves that the database is complete; %s",
			sequenceName, s.dir, wipeAdvice)
	}
	if !found.valid || found.storeID != id.StoreId {
		return say(ErrDamaged, "the file %s in %s is damaged or another store's, "+
			"so nothing proves that the database is complete; %s", sequenceName, s.dir, wipeAdvice)
	}
	if err := s.getNumber(); err != nil {
		return err
	}
	if s.number < found.number {
		return say(ErrDamaged, "the database in %s ends at write %d although write %d was acknowledged: "+
			"its log is damaged, or older files were put back; %s", s.dir, s.number, found.number, wipeAdvice)
	}
	return nil
}

// getNumber reads the sequence number.
func (s *Store) getNumber() error {
	v, closer, err := s.db.Get(key(0, kindSequence))
	if err != nil {
		return sayOf(ErrDamaged, err, "the sequence number stored in %s cannot be read; %s", s.dir, wipeAdvice)
	}
	defer func() { _ = closer.Close() }()
	number, err := openRecord(key(0, kindSequence), v)
	if err != nil || len(number) != 8 {
		return say(ErrDamaged, "the sequence number stored in %s cannot be decoded; %s", s.dir, wipeAdvice)
	}
	s.number = binary.BigEndian.Uint64(number)
	return nil
}

// get reads the record under the key into m, and says whether there is one.
func (s *Store) get(key []byte, m proto.Message) (bool, error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, sayOf(ErrDamaged, err, "the record %q in %s cannot be read; %s", key, s.dir, wipeAdvice)
	}
	defer func() { _ = closer.Close() }()
	if err := decodeRecord(key, v, m); err != nil {
		return false, sayOf(ErrDamaged, err, "the record %q in %s cannot be decoded; %s", key, s.dir, wipeAdvice)
	}
	return true, nil
}

// Identity says whose directory this is. The caller must not change it.
func (s *Store) Identity() *messages.Identity { return s.identity.Load() }

// Failed returns why nothing can be stored any more, or nil. The error matches ErrFailed.
func (s *Store) Failed() error { return s.fence.failure() }

// Close waits for a write and for reads in progress, and closes the directory. After a failure it abandons the database
// instead: its memory and goroutines stay, the directory becomes free unless a call still hangs in the file system, and
// Close returns the failure. A second call does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closed.Swap(true)
	s.mu.Unlock()
	if again {
		return nil
	}
	err := s.orFail(s.shut)
	if failure := s.fence.failure(); failure != nil {
		err = failure
		s.fence.abandon()
	}
	return err
}

func (s *Store) shut() error {
	s.turn <- struct{}{}
	defer s.give()
	s.reads.Wait()
	err := s.side.sync()
	return errors.Join(err, s.side.file.Close(), s.pending.Close(), s.db.Close())
}

// take waits for the turn. It fails when the Store failed or was closed; else the caller gives the turn back.
func (s *Store) take() error {
	select {
	case s.turn <- struct{}{}:
	case <-s.fence.failing:
		return s.fence.failure()
	}
	if err := s.fence.failure(); err != nil {
		s.give()
		return err
	}
	if s.closed.Load() {
		s.give()
		return ErrClosed
	}
	return nil
}

func (s *Store) give() { <-s.turn }
