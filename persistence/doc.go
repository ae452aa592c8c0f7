// Package persistence does all disk I/O of a node, over Pebble and its vfs: one Store per node, shared by all groups.
//
// # Keys
//
// Every key starts with the letter of its region and a group number (u32, big-endian). Group 0 is the store itself.
//
//	'A' 0 'G' number u32   GroupRecord: a group's name, number and founding members
//	'A' 0 'I'              Identity: whose directory this is
//	'A' 0 'Q'              sequence number of the last write (u64)
//	'A' n 'C'              Compacted: up to where the log of group n was cut
//	'A' n 'H'              HardState
//	'A' n 'P' node id      store id that is pinned for this peer (u64)
//	'A' n 'S'              Snapshot: the pointer to the group's snapshot
//	'L' n last index u64   one block of entries
//
// What is not in this list was written by a newer troupe, and is refused. A new directory has format 1; the write that makes the
// first pointer raises it to 2.
//
// # Blocks
//
// The entries of one appended batch make one block, or several of at most 256 KiB. A block is stored under the index of
// its last entry, so that entry i is in the first block at or after the key of i. All integers are big-endian:
//
//	crc32c u32 | first index u64 | count u32 | count times (length uvarint, encoded Entry)
//
// The checksum covers the key and everything behind the checksum. All other records have one, too: see record.go.
//
// Appending from index i over a conflict deletes the keys of [i, ∞), puts the head of the block that straddles i back
// under i-1, and adds the new blocks, all in one Pebble batch. Cutting the log to c records c and deletes the keys of [0, c]; a block that
// straddles c stays, and its entries up to c are ignored. In a directory of format 2, the keys below a large cut stay until Reclaim excises
// them: what is below a cut is not looked at.
//
// # Snapshots
//
// A snapshot is the file snapshots/<group number>/<index>-<term>. The file that a group begins with is 0-0, whatever entry it is of.
// All integers are big-endian:
//
//	"troupe.snapshot\n" | format u32
//	length u32 | crc32c u32 | encoded SnapshotHeader              at most 1 MiB
//	as often as needed: length u32 | crc32c u32 | piece of the state   at most 256 KiB, not empty
//	0 u32 | length of the state u64 | SHA-256 of all that is before it
//
// The header is part 0, and the pieces are numbered from 1. A part's checksum covers its number (u64) and its content, so that parts
// cannot change places.
//
// A file is written under a temporary name, <index>-<term>.<number>.new, synced and renamed, and its folder is synced. It counts from the
// write that stores its pointer. Until then, and when another pointer has taken its place, it is a leftover: Open removes those. Open reads
// the files that are pointed to, and refuses a directory when one is not as it was written.
//
// These files do not pass the fence (see below): when one cannot be written nothing is lost, and the node must be able to remove what
// filled its disk.
//
// # What a torn write-ahead log can hide
//
// Pebble cannot tell a rotten end of its live log from a torn one, and drops it silently. Each write therefore carries
// a sequence number, which is also written to the file SEQUENCE after each sync. Open refuses a directory whose database
// is behind that file. The file is itself fsynced once a second: what a power loss hides in that second, together with
// a rotten log, is not noticed.
//
// # Files beside Pebble's
//
// SEQUENCE is the side file. SPARE is filled with zeros, and the next write-ahead log begins in it; SPARE.new becomes SPARE when it is
// full. USED was a log. RESTORING is there while Seed makes the directory, which is refused until then. Without SEQUENCE, or a snapshot
// that is pointed to, a directory is refused; SPARE, SPARE.new and USED may be removed while the node is stopped.
//
// # A failing disk
//
// The first failed mutating call is reported once, through Options.OnFailure. That call and every later one never
// return, so that Pebble never sees the error and nothing is acknowledged afterwards. Reads go on working. Nothing is
// retried: a second fsync proves nothing. The node needs a restart.
package persistence
