package persistence

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"sync"

	"github.com/cockroachdb/errors/oserror"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

const snapshotsDir = "snapshots"

// snapshotName matches what a store calls its snapshot files, and those that it has not finished. Other files are left alone.
var snapshotName = regexp.MustCompile(`^(\d+)-\d+(\.\d+\.new)?$`)

// snapshots knows the pointers of all groups, and the files that are being written.
type snapshots struct {
	mu       sync.Mutex
	pointers map[GroupID]*messages.Snapshot
	writing  map[string]string // the name that each will have, by temporary name
	folders  map[GroupID]bool  // that are durable
	begun    int
}

func newSnapshots() *snapshots {
	return &snapshots{pointers: map[GroupID]*messages.Snapshot{}, writing: map[string]string{}, folders: map[GroupID]bool{}}
}

func (n *snapshots) pointer(group GroupID) *messages.Snapshot {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pointers[group]
}

func (n *snapshots) point(group GroupID, snapshot *messages.Snapshot) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pointers[group] = snapshot
}

// isNews refuses a snapshot at or below the index of the group's: its file must not take the place of one that is pointed to.
func (n *snapshots) isNews(group GroupID, index uint64) error {
	if has := n.pointer(group); has != nil && index <= has.LastIncludedIndex {
		return say(nil, "a snapshot of group %d at entry %d is not newer than the one that there is, at entry %d",
			group, index, has.LastIncludedIndex)
	}
	return nil
}

// newTemporary returns a name for the file until it is whole. It refuses one that is being written already: the second would take the place
// of the first.
func (n *snapshots) newTemporary(path string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, other := range n.writing {
		if other == path {
			return "", say(nil, "the snapshot %s is being written already", path)
		}
	}
	n.begun++
	name := fmt.Sprintf("%s.%d.new", path, n.begun)
	n.writing[name] = path
	return name, nil
}

// written says that the file is not written any more.
func (n *snapshots) written(temporary string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.writing, temporary)
}

func (n *snapshots) isWriting(temporary string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.writing[temporary] != ""
}

// hasFolder says whether the group's folder is durable, and keepFolder that it is.
func (n *snapshots) hasFolder(group GroupID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.folders[group]
}

func (n *snapshots) keepFolder(group GroupID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.folders[group] = true
}

// holdFiles keeps the directory this Store's until releaseFiles is called: nothing may be renamed or removed in another one's directory.
func (s *Store) holdFiles() error {
	if err := s.beginRead(); err != nil {
		return err
	}
	if err := s.fence.hold(); err != nil {
		s.reads.Done()
		return err
	}
	return nil
}

func (s *Store) releaseFiles() {
	s.fence.done()
	s.reads.Done()
}

func (s *Store) snapshotFolder(group GroupID) string {
	return s.options.FS.PathJoin(s.dir, snapshotsDir, strconv.FormatUint(uint64(group), 10))
}

func (s *Store) snapshotPath(group GroupID, index, term uint64) string {
	return s.options.FS.PathJoin(s.snapshotFolder(group), fmt.Sprintf("%d-%d", index, term))
}

func (s *Store) pathOf(group GroupID, snapshot *messages.Snapshot) string {
	return s.snapshotPath(group, snapshot.LastIncludedIndex, snapshot.LastIncludedTerm)
}

// makeSnapshotFolder makes the group's folder, durably.
func (s *Store) makeSnapshotFolder(group GroupID) error {
	disk, folder := s.options.FS, s.snapshotFolder(group)
	if _, err := disk.Stat(folder); err == nil && s.snapshots.hasFolder(group) {
		return nil
	}
	if err := disk.MkdirAll(folder, privateDir); err != nil {
		return err
	}
	for _, dir := range []string{disk.PathDir(folder), s.dir} {
		if err := syncDir(disk, dir); err != nil {
			return err
		}
	}
	s.snapshots.keepFolder(group)
	return nil
}

// OpenSnapshot opens the file of a pointer, and checks its header. The file may be removed while it is open. The caller closes the
// reader, before or after the Store.
func (s *Store) OpenSnapshot(group GroupID, snapshot *messages.Snapshot) (*SnapshotReader, error) {
	if err := s.beginRead(); err != nil {
		return nil, err
	}
	defer s.reads.Done()
	return openSnapshot(s.options.FS, s.pathOf(group, snapshot), proto.CloneOf(snapshot))
}

// fitsSnapshot refuses a pointer that could not be opened again, and entries in the place of those that the snapshot has.
func (s *Store) fitsSnapshot(b *Batch) error {
	has := s.snapshots.pointer(b.Group)
	if next := b.Snapshot; next != nil {
		if has != nil && next.LastIncludedIndex <= has.LastIncludedIndex && !proto.Equal(next, has) {
			return misuse(b, "its snapshot ends at entry %d, and the one before it at entry %d",
				next.LastIncludedIndex, has.LastIncludedIndex)
		}
		info, err := s.options.FS.Stat(s.pathOf(b.Group, next))
		if err != nil || uint64(info.Size()) != next.Bytes {
			return misuse(b, "the file of its snapshot at entry %d was not finished", next.LastIncludedIndex)
		}
		has = next
	}
	if has != nil && len(b.Entries) > 0 && b.First <= has.LastIncludedIndex {
		return misuse(b, "its snapshot ends at entry %d", has.LastIncludedIndex)
	}
	return nil
}

// point makes the batch's snapshot the group's.
func (s *Store) point(b *Batch) error {
	snapshot := proto.CloneOf(b.Snapshot)
	if err := s.raiseFormat(); err != nil {
		return err
	}
	if err := s.set(key(b.Group, kindSnapshot), snapshot); err != nil {
		return err
	}
	s.snapshots.point(b.Group, snapshot)
	return nil
}

// raiseFormat says, with the first pointer, that the directory has snapshots: an older troupe must not open it.
func (s *Store) raiseFormat() error {
	id := s.Identity()
	if id.Format >= formatOfSnapshots {
		return nil
	}
	id = proto.CloneOf(id)
	id.Format = formatOfSnapshots
	if err := s.set(key(0, kindIdentity), id); err != nil {
		return err
	}
	s.identity.Store(id)
	return nil
}

// loadSnapshots reads the pointers of all groups, checks their files, and then removes what is left over from earlier.
func (s *Store) loadSnapshots() error {
	for group := range s.states {
		snapshot := &messages.Snapshot{}
		known, err := s.get(key(group, kindSnapshot), snapshot)
		if err != nil {
			return err
		}
		if !known {
			continue
		}
		if err := s.verifySnapshot(group, snapshot); err != nil {
			return err
		}
		s.snapshots.point(group, snapshot)
	}
	s.sweep()
	return nil
}

// verifySnapshot reads the whole file. It believes the SHA-256 that is in the file: every piece has a checksum of its own.
func (s *Store) verifySnapshot(group GroupID, snapshot *messages.Snapshot) error {
	r, err := openSnapshot(s.options.FS, s.pathOf(group, snapshot), snapshot)
	if err == nil {
		r.parser.digest = nil
		err = errors.Join(r.verify(), r.Close())
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNewer):
		return err
	case errors.Is(err, ErrDamaged) || oserror.IsNotExist(err):
		return sayOf(ErrDamaged, err, "the snapshot of group %d in %s is not what was written; %s", group, s.dir, wipeAdvice)
	}
	return sayOf(nil, err, "the snapshot of group %d in %s cannot be checked: see to the disk, then start the node again", group, s.dir)
}

// sweep removes the files that no pointer names, and the folders of groups that there are not.
func (s *Store) sweep() {
	disk := s.options.FS
	root := disk.PathJoin(s.dir, snapshotsDir)
	for _, name := range s.list(root) {
		number, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			continue
		}
		group := GroupID(number)
		s.removeBut(group, s.snapshots.pointer(group), func(uint64) bool { return true })
		if s.states[group] == nil {
			s.remove(disk.PathJoin(root, name))
		}
	}
}

// RemoveSnapshots removes the group's snapshot files but that of keep (nil: all), that of the group's pointer, those that are newer than
// keep, since they may be pointed to soon, and those that are being written. A file that is open can still be read. Errors are logged.
func (s *Store) RemoveSnapshots(group GroupID, keep *messages.Snapshot) {
	if s.holdFiles() != nil {
		return
	}
	defer s.releaseFiles()
	s.removeBut(group, keep, func(index uint64) bool { return keep == nil || index <= keep.LastIncludedIndex })
}

func (s *Store) removeBut(group GroupID, keep *messages.Snapshot, old func(index uint64) bool) {
	folder := s.snapshotFolder(group)
	kept := map[string]bool{}
	for _, snapshot := range []*messages.Snapshot{keep, s.snapshots.pointer(group)} {
		if snapshot != nil {
			kept[s.pathOf(group, snapshot)] = true
		}
	}
	for _, name := range s.list(folder) {
		match := snapshotName.FindStringSubmatch(name)
		path := s.options.FS.PathJoin(folder, name)
		if match == nil || kept[path] || s.snapshots.isWriting(path) {
			continue
		}
		if index, err := strconv.ParseUint(match[1], 10, 64); err == nil && (old(index) || match[2] != "") {
			s.remove(path)
		}
	}
}

func (s *Store) list(dir string) []string {
	names, err := s.options.FS.List(dir)
	if err != nil && !oserror.IsNotExist(err) {
		s.log.Warn("a folder of snapshots cannot be read", "folder", dir, "error", err)
	}
	return names
}

func (s *Store) remove(path string) {
	if err := s.options.FS.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("an old snapshot was not removed", "file", path, "error", err)
	}
}
