package persistence

import (
	"slices"

	"github.com/cockroachdb/errors/oserror"
)

// findStore refuses a directory without a store, before anything is made there.
func (s *Store) findStore() error {
	names, err := s.options.FS.List(s.dir)
	switch {
	case err != nil && !oserror.IsNotExist(err):
		return sayOf(nil, err, "cannot read the directory %s", s.dir)
	case !slices.ContainsFunc(names, ours.MatchString):
		return say(ErrMissing, "there is no node's data directory at %s", s.dir)
	}
	return nil
}

// hadDatabase says whether none may be founded: the directory is somebody's, or what lies beside the database shows that there was one.
// Pebble would take a directory for new in which it does not find its manifest, whatever else is there.
func (s *Store) hadDatabase() (bool, error) {
	found, err := readSide(s.fence, s.dir)
	if err != nil {
		return false, s.cannotReadSide(err)
	}
	return s.options.AnyNode || found.number > 0 || len(s.list(s.options.FS.PathJoin(s.dir, snapshotsDir))) > 0, nil
}

func (s *Store) cannotReadSide(err error) error {
	return sayOf(nil, err, "cannot read the file %s in %s", sequenceName, s.dir)
}
