// Package offline reads the data directories of nodes that are stopped.
package offline

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/troupe-raft/troupe/cluster/kv"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// open opens a directory, whichever node's it is. The caller closes the store.
func open(dir string) (*persistence.Store, error) {
	s, err := persistence.Open(dir, persistence.Options{AnyNode: true})
	if errors.Is(err, persistence.ErrLocked) {
		return nil, fmt.Errorf("the directory %s is in use: stop the node that runs there first", dir)
	}
	return s, err
}

// closed closes the store, and returns what went wrong first.
func closed(s *persistence.Store, err error) error {
	if closeErr := s.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Dump reads a part of a group's log.
type Dump struct {
	Dir string
	// Group is the group's name; empty: the first one.
	Group string
	// From and To are indexes; To 0: the last one.
	From, To uint64
}

// Entry is one of the log. Its JSON is what troupe log dump prints.
type Entry struct {
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
	Kind  string `json:"kind"`
	// Bytes is the length of the entry.
	Bytes int `json:"bytes"`
	// Command is nil unless it is one of the map.
	Command *Command `json:"command"`
}

// Command is one of the replicated map.
type Command struct {
	Operation string `json:"operation"`
	Key       string `json:"key"`
}

// readBytes is how much of a log is read at a time.
const readBytes = 1 << 20

// Run calls each with the entries that there are between From and To, in order, until it fails or ctx is done.
func (d *Dump) Run(ctx context.Context, each func(Entry) error) error {
	s, err := open(d.Dir)
	if err != nil {
		return err
	}
	return closed(s, d.read(ctx, s, each))
}

func (d *Dump) read(ctx context.Context, s *persistence.Store, each func(Entry) error) error {
	groups, err := s.Groups()
	if err != nil {
		return err
	}
	record, err := find(groups, d.Dir, d.Group)
	if err != nil {
		return err
	}
	group := persistence.GroupID(record.GetNumber())
	log, err := s.Recover(group)
	if err != nil {
		return err
	}
	end := log.Last + 1
	if d.To > 0 && d.To < log.Last {
		end = d.To + 1
	}
	for next := max(d.From, log.Compacted+1); next < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, entries, err := s.Read(group, next, end, readBytes)
		if err != nil {
			return err
		}
		for _, encoded := range entries {
			e, err := entry(next, encoded)
			if err == nil {
				err = each(e)
			}
			if err != nil {
				return err
			}
			next++
		}
	}
	return nil
}

// find finds a group; without a name, the first one.
func find(groups []*messages.GroupRecord, dir, name string) (*messages.GroupRecord, error) {
	names := []string{}
	for _, g := range groups {
		if g.GetName() == name || name == "" {
			return g, nil
		}
		names = append(names, g.GetName())
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("there is no group in %s yet", dir)
	}
	return nil, fmt.Errorf("there is no group %q in %s: it has %s", name, dir, strings.Join(names, ", "))
}

func entry(index uint64, encoded messages.EncodedEntry) (Entry, error) {
	view, err := messages.DecodeEntry(encoded)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Index: index, Term: view.Term, Kind: kind(view.Kind), Bytes: len(encoded)}
	if view.Kind == messages.Entry_KIND_COMMAND {
		if operation, key, ok := kv.Describe(view.Data); ok {
			e.Command = &Command{operation, key}
		}
	}
	return e, nil
}

func kind(k messages.Entry_Kind) string {
	return strings.ToLower(strings.TrimPrefix(k.String(), "KIND_"))
}
