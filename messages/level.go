package messages

// Level is the newest feature level that this build knows. What came with a level, such as a kind of entry, an RPC, or another meaning
// of a field, is used in a group only when all of its members know that level.
const Level = 1
