package persistence

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

func TestOpenFoundsAndFindsAgain(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	want := &messages.Identity{Format: 1, NodeId: "n1", StoreId: 7, Cluster: "c"}
	if !proto.Equal(s.Identity(), want) {
		t.Errorf("identity %v, want %v", s.Identity(), want)
	}
	mustClose(t, s)
	o := memOptions(fs)
	o.StoreID = 8
	s = mustOpenWith(t, o)
	if !proto.Equal(s.Identity(), want) {
		t.Errorf("after reopening: identity %v, want %v", s.Identity(), want)
	}
	if s.Failed() != nil {
		t.Error(s.Failed())
	}
}

func TestOpenDrawsAStoreID(t *testing.T) {
	ids := map[uint64]bool{0: true}
	for range 3 {
		o := memOptions(vfs.NewMem())
		o.StoreID = 0
		s := mustOpenWith(t, o)
		if id := s.Identity().StoreId; ids[id] {
			t.Errorf("store id %d again", id)
		} else {
			ids[id] = true
		}
	}
}

func TestOpenNeedsANodeID(t *testing.T) {
	_, err := Open(dataDir, Options{FS: vfs.NewMem()})
	wantError(t, err, nil, "needs a node id")
}

func TestOpenRefusesAnotherNodesDirectory(t *testing.T) {
	fs := vfs.NewMem()
	mustClose(t, mustOpen(t, fs))
	o := memOptions(fs)
	o.NodeID = "n2"
	_, err := Open(dataDir, o)
	wantError(t, err, ErrForeign,
		"the directory data belongs to node n1, not n2: start the node with --id n1, or give it another --data-dir")
	mustClose(t, mustOpen(t, fs)) // the refusal left it closed and as it was
}

func TestOpenRefusesAnotherClustersDirectory(t *testing.T) {
	fs := vfs.NewMem()
	mustClose(t, mustOpen(t, fs))
	o := memOptions(fs)
	o.Cluster = "d"
	_, err := Open(dataDir, o)
	wantError(t, err, ErrForeign, `belongs to the cluster named "c", not "d"`)
}

func TestOpenRefusesANewerFormat(t *testing.T) {
	fs := vfs.NewMem()
	mustClose(t, mustOpen(t, fs))
	tamper(t, fs, func(db *pebble.DB) error {
		v, err := encodeRecord(key(0, kindIdentity), &messages.Identity{Format: 3, NodeId: "n1", StoreId: 7, Cluster: "c"})
		if err != nil {
			return err
		}
		return db.Set(key(0, kindIdentity), v, pebble.Sync)
	})
	_, err := Open(dataDir, memOptions(fs))
	wantError(t, err, ErrNewer, "has format 3, and this troupe knows formats up to 2: start a newer troupe")
}

func TestOpenRefusesDamagedStoreRecords(t *testing.T) {
	identity, number, group := key(0, kindIdentity), key(0, kindSequence), groupKey(1)
	cases := []struct {
		name   string
		change damage
		kind   error
		says   string
	}{
		{"identity undecodable", setting(identity, []byte{0xff}), ErrDamaged, "cannot be decoded"},
		{"identity empty", setting(identity, sealRecord(nil, identity, nil)), ErrDamaged, "identity stored in data is incomplete"},
		{"identity gone", deleting(identity), ErrDamaged, "is empty although 2 writes were acknowledged"},
		{"number gone", deleting(number), ErrDamaged, "sequence number stored in data cannot be read"},
		{"number short", setting(number, []byte{1}), ErrDamaged, "sequence number stored in data cannot be decoded"},
		{"group undecodable", setting(group, []byte{0xff}), ErrDamaged, "group record"},
		{"group misplaced", setting(group, sealRecord(nil, group, []byte{16, 5})), ErrDamaged, "in the wrong place"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := mustOpen(t, fs)
			mustGroup(t, s, "g")
			mustClose(t, s)
			tamper(t, fs, c.change)
			_, err := Open(dataDir, memOptions(fs))
			wantError(t, err, c.kind, c.says)
		})
	}
}

func TestOpenRefusesAnotherProgramsDatabase(t *testing.T) {
	fs := vfs.NewMem()
	tamper(t, fs, func(db *pebble.DB) error { return db.Set([]byte("x"), nil, pebble.Sync) })
	_, err := Open(dataDir, memOptions(fs))
	wantError(t, err, ErrForeign, "was not made by troupe")
}

func TestOpenRefusesADamagedDatabase(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	group := mustGroup(t, s, "g")
	mustWrite(t, s, write(group, 1, 1, 5000))
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	names, err := fs.List(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			if err := fs.Remove(fs.PathJoin(dataDir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = Open(dataDir, memOptions(fs))
	wantError(t, err, ErrDamaged, "the database in data is damaged", "nothing was changed")
}

func TestOpenRefusesADirectoryInUse(t *testing.T) {
	for name, dir := range map[string]string{"memory": dataDir, "disk": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			o := memOptions(vfs.NewMem())
			if name == "disk" {
				o.FS = nil
			}
			s, err := Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			if name == "disk" {
				here, err := os.Getwd()
				if err != nil {
					t.Fatal(err)
				}
				relative, err := filepath.Rel(here, dir)
				if err != nil {
					t.Fatal(err)
				}
				_, err = Open(relative, o)
				wantError(t, err, ErrLocked)
			}
			_, err = Open(dir, o)
			wantError(t, err, ErrLocked, "the directory "+dir+" is in use: stop the node that runs there")
			mustClose(t, s)
			if s, err = Open(dir, o); err != nil {
				t.Fatal(err)
			}
			mustClose(t, s)
		})
	}
}

// The second process of TestOpenRefusesADirectoryInUseElsewhere.
func TestHelperOpens(t *testing.T) {
	dir := os.Getenv("TROUPE_TEST_DIR")
	if dir == "" {
		t.Skip("not started by another test")
	}
	_, err := Open(dir, Options{NodeID: "n1"})
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("opened: %v", err)
	}
}

func TestOpenRefusesADirectoryInUseElsewhere(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{NodeID: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperOpens$")
	cmd.Env = append(os.Environ(), "TROUPE_TEST_DIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestOpenSaysWhyADirectoryCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(filepath.Join(file, "n1"), Options{NodeID: "n1"})
	wantError(t, err, nil, file, "not a directory")
	if errors.Is(err, ErrLocked) {
		t.Errorf("%v matches ErrLocked", err)
	}
}

func TestOpenSaysWhyTheLockCannotBeMade(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "LOCK"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir, Options{NodeID: "n1"})
	wantError(t, err, nil, "cannot open the directory "+dir, "LOCK")
	if errors.Is(err, ErrLocked) || errors.Is(err, ErrDamaged) {
		t.Errorf("%v matches too much", err)
	}
}

// A node that joined a group remembers of which cluster that is, and that it is done.
func TestJoinedGroupsAreRemembered(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	if s.KnownGroup("a") != nil {
		t.Error("a group is known before it is joined")
	}
	if _, err := s.JoinedGroup("a", 77); err != nil {
		t.Fatal(err)
	}
	if err := s.SetJoined("nobody"); err != nil {
		t.Error(err)
	}
	for _, joined := range []bool{false, true, true} {
		mustClose(t, s)
		s = mustOpen(t, fs)
		want := &messages.GroupRecord{Name: "a", Number: 1, ClusterId: 77, Joined: joined}
		if got := s.KnownGroup("a"); !proto.Equal(got, want) {
			t.Errorf("the group is remembered as %v, not %v", got, want)
		}
		if again, err := s.JoinedGroup("a", 99); err != nil || again.ClusterId != 77 {
			t.Errorf("joined again it is %v (%v)", again, err)
		}
		if err := s.SetJoined("a"); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
}

func TestGroupsKeepTheirNumbersAndMembers(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	members := []*messages.Member{{Id: "n1", Address: "a:1"}, {Id: "n2", Address: "a:2"}}
	a, err := s.Group("a", members)
	if err != nil {
		t.Fatal(err)
	}
	members[0].Id = "changed by the caller"
	if a.Members[0].Id != "n1" {
		t.Error("the record changed with the caller's members")
	}
	b, err := s.Group("b", nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.Number != 1 || b.Number != 2 {
		t.Errorf("numbers %d and %d", a.Number, b.Number)
	}
	if _, err := s.Group("", nil); err == nil {
		t.Error("a group without a name was founded")
	}
	mustClose(t, s)

	s = mustOpen(t, fs)
	again, err := s.Group("a", []*messages.Member{{Id: "n9"}})
	if err != nil {
		t.Fatal(err)
	}
	want := &messages.GroupRecord{Name: "a", Number: 1, Members: []*messages.Member{{Id: "n1", Address: "a:1"}, {Id: "n2", Address: "a:2"}}}
	if !proto.Equal(again, want) {
		t.Errorf("found %v, want %v", again, want)
	}
	all, err := s.Groups()
	if err != nil || len(all) != 2 || all[0].Name != "a" || all[1].Name != "b" {
		t.Errorf("groups %v, %v", all, err)
	}
	if n := mustGroup(t, s, "c"); n != 3 {
		t.Errorf("the third group has number %d", n)
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	group := mustGroup(t, s, "g")
	mustClose(t, s)
	mustClose(t, s)
	_, _, readErr := s.Read(group, 1, 2, 1)
	_, groupErr := s.Group("other", nil)
	_, groupsErr := s.Groups()
	_, recoverErr := s.Recover(group)
	for _, err := range []error{s.Write([]*Batch{write(group, 1, 1, 1)}), s.SyncSequence(), readErr, groupErr, groupsErr, recoverErr} {
		wantError(t, err, ErrClosed)
	}
}

// A write-ahead log on a real disk is filled before it is used.
func TestNewLogsAreFilled(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{NodeID: "n1", MemTableSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	for _, log := range logs {
		if info, err := os.Stat(log); err != nil || info.Size() < 1<<20 {
			t.Errorf("%s: %v, %v", log, info.Size(), err)
		}
	}
}

// Tables of log entries hold nothing else, so that they need not be merged with others.
func TestLogsHaveTablesToThemselves(t *testing.T) {
	s, g := newGroup(t)
	for i := range uint64(50) {
		mustWrite(t, s, write(g, 1, 20*i+1, 20))
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	levels, err := s.db.SSTables()
	if err != nil {
		t.Fatal(err)
	}
	regions := map[byte]bool{}
	for _, level := range levels {
		for _, table := range level {
			first, last := table.Smallest.UserKey[0], table.Largest.UserKey[0]
			if first != last {
				t.Errorf("a table goes from %q to %q", table.Smallest.UserKey, table.Largest.UserKey)
			}
			regions[first] = true
		}
	}
	if !regions[regionRecords] || !regions[regionLogs] {
		t.Errorf("the tables are of %v", regions)
	}
}
