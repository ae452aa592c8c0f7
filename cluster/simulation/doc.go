// Package simulation runs whole clusters of the shipping actors, with real Pebble on a file system in memory, in one goroutine and
// from one seed. The seed gives the order of everything, the faults and the workload; the same seed gives the same run. Bring a
// state machine and a sequential model of it, and get a cluster under faults whose history is checked for linearizability: see
// [Machine] and [Run].
//
// Importing the package makes new actor systems of the whole process smaller (it sets the number of shards of their registries);
// import it in tests and tools only.
package simulation
