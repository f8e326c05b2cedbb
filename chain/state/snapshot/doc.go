// Package snapshot keeps snapshots of the state as files, and takes those of
// others apart.
//
// A snapshot is one CAR file, the state tree of one height as
// [state.Export] writes it, and a [Manifest] beside it: height, app hash, and
// the SHA-256 of each chunk. A chunk is ChunkSize bytes of the file, the last
// one less. The same height gives the same file and manifest on every node, so
// a node that joins can take the chunks of one snapshot from many peers.
//
//	HEIGHT.car         the state; any CAR reader opens it
//	HEIGHT.manifest    Manifest, dag-cbor; written last, so what it names is whole
//
// [Archive] writes, lists, serves and removes snapshots of one directory. A
// [Receiver] puts chunks that come from peers into an empty store: each is
// compared with the manifest first, then, as part of the tree, with the app
// hash. So a wrong byte is found at its chunk, and whoever lies in a manifest
// at the first block that the tree does not have.
package snapshot
