package messages

// Feature levels.
const (
	// LevelFirst is that of the first release.
	LevelFirst = 1
	// LevelSnapshots has InstallSnapshot, so that logs may be cut, and groups that begin with a snapshot.
	LevelSnapshots = 2
	// LevelSessions has the entries of sessions, log time, and what followers ask their leader for.
	LevelSessions = 3
	// LevelMembership has configurations in the log.
	LevelMembership = 4
)

// Level is the newest feature level that this build knows. What came with a level, such as a kind of entry, an RPC, or another meaning
// of a field, is used in a group only when all of its members know that level.
const Level = LevelMembership
