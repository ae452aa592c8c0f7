package persistence

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/messages"
)

// seedingName is the file that a directory has while Seed makes it. Else a node would begin empty in what a Seed left that was killed.
const seedingName = "RESTORING"

// Seed makes a new data directory whose group begins with a snapshot file, such as a backup: the group that the file is of, with these
// founding members. The file was opened by OpenSnapshotFile, so it is whole; it is copied. A directory that exists must be empty, or be
// what a Seed left that was killed. Copied, if not nil, counts the bytes that are there already.
//
// When Seed fails, or ctx is done, it leaves nothing behind.
func Seed(ctx context.Context, dir string, o Options, file *SnapshotReader, members []*messages.Member, copied *atomic.Int64) error {
	disk := o.FS
	if disk == nil {
		disk = vfs.Default
	}
	if err := removeSeeding(disk, dir); err != nil {
		return err
	}
	made, err := firstMissing(disk, dir)
	if err != nil {
		return err
	}
	if err = beginSeeding(disk, dir); err == nil {
		o.seeding = true
		err = seedNew(ctx, dir, o, file, members, copied)
	}
	if errors.Is(err, ErrLocked) {
		return err // somebody else was quicker, and owns what is there
	}
	if err == nil && made != "" {
		err = syncParents(disk, dir, made)
	}
	if err == nil {
		err = endSeeding(disk, dir)
	}
	if err != nil {
		err = errors.Join(err, unmake(disk, dir, made))
	}
	return err
}

func seedNew(ctx context.Context, dir string, o Options, file *SnapshotReader, members []*messages.Member, copied *atomic.Int64) error {
	s, err := Open(dir, o)
	if err != nil {
		return err
	}
	err = s.seed(ctx, file, members, copied)
	if closeErr := s.Close(); err == nil {
		err = closeErr
	}
	return err
}

func beginSeeding(disk vfs.FS, dir string) error {
	if err := disk.MkdirAll(dir, privateDir); err != nil {
		return sayOf(nil, err, "%s cannot be a new directory", dir)
	}
	file, err := disk.Create(disk.PathJoin(dir, seedingName), vfs.WriteCategoryUnspecified)
	if err == nil {
		err = file.Close()
	}
	if err == nil {
		err = syncDir(disk, dir)
	}
	return err
}

func endSeeding(disk vfs.FS, dir string) error {
	if err := disk.Remove(disk.PathJoin(dir, seedingName)); err != nil {
		return err
	}
	return syncDir(disk, dir)
}

// removeSeeding empties a directory in which a Seed was killed.
func removeSeeding(disk vfs.FS, dir string) error {
	if _, err := disk.Stat(disk.PathJoin(dir, seedingName)); err != nil {
		return nil
	}
	lock, err := disk.Lock(disk.PathJoin(dir, "LOCK"))
	if err != nil {
		return sayOf(ErrLocked, err, "the directory %s is in use: somebody else restores a backup there", dir)
	}
	return errors.Join(unmake(disk, dir, ""), lock.Close())
}

// refuseSeeding refuses a directory that was not made to its end.
func (s *Store) refuseSeeding() error {
	if s.options.seeding {
		return nil
	}
	if _, err := s.fence.Stat(s.fence.PathJoin(s.dir, seedingName)); err == nil {
		return say(ErrDamaged, "a backup is being restored in %s, or that was interrupted: wait for its end, or restore it again", s.dir)
	}
	return nil
}

func (s *Store) seed(ctx context.Context, file *SnapshotReader, members []*messages.Member, copied *atomic.Int64) error {
	record, err := s.Group(file.Header().Group, members)
	if err != nil {
		return err
	}
	group, pointer := GroupID(record.Number), file.Pointer()
	r, err := s.ReceiveSnapshot(group, &messages.Snapshot{Bytes: pointer.Bytes, Digest: pointer.Digest})
	if err != nil {
		return err
	}
	defer r.Abort()
	piece := make([]byte, maxPiece)
	for whole := io.NewSectionReader(file, 0, int64(pointer.Bytes)); ; {
		n, err := whole.Read(piece)
		if err == io.EOF {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if _, err := r.Write(piece[:n]); err != nil {
			return err
		}
		if copied != nil {
			copied.Add(int64(n))
		}
	}
	snapshot, err := r.Finish()
	if err != nil {
		return err
	}
	return s.Write([]*Batch{{Group: group, Snapshot: snapshot, Sync: true}})
}

// firstMissing is the topmost directory that has to be made for dir; empty: dir is there, and empty.
func firstMissing(disk vfs.FS, dir string) (string, error) {
	names, err := disk.List(dir)
	switch {
	case err == nil && len(names) > 0:
		return "", say(nil, "the directory %s is not empty: name a new one", dir)
	case err == nil:
		return "", nil
	case !oserror.IsNotExist(err):
		return "", sayOf(nil, err, "%s cannot be a new directory", dir)
	}
	for {
		parent := disk.PathDir(dir)
		if _, err := disk.Stat(parent); parent == dir || !oserror.IsNotExist(err) {
			return dir, nil
		}
		dir = parent
	}
}

// syncParents makes the names of all directories durable that were made for dir.
func syncParents(disk vfs.FS, dir, made string) error {
	for {
		parent := disk.PathDir(dir)
		if err := syncDir(disk, parent); err != nil || dir == made {
			return err
		}
		dir = parent
	}
}

// unmake removes the directory that was made, or what was made in one that was there. What says that it is not whole goes last.
func unmake(disk vfs.FS, dir, made string) error {
	names, err := disk.List(dir)
	if oserror.IsNotExist(err) {
		err = nil
	}
	for _, name := range names {
		if name != seedingName {
			err = errors.Join(err, disk.RemoveAll(disk.PathJoin(dir, name)))
		}
	}
	if made != "" {
		return errors.Join(err, disk.RemoveAll(made))
	}
	return errors.Join(err, disk.RemoveAll(disk.PathJoin(dir, seedingName)))
}
