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
