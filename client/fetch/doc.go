// Package fetch is what a client has of a payload that is on its way: bytes and
// blocks that come in any order and are read while others still come; kept so
// that a process that was killed at any moment goes on from what it had.
//
// A Store is two files. The part is sparse: it has each file of the payload as a
// Region, its bytes at their places, so that the part of a payload that is one
// file becomes that file. The journal beside it says what of the part was written,
// and has the nodes above. Region.NewReader gives the bytes of a file in their order,
// Store.Await blocks by their CIDs; both wait for what is not there yet. Tree and
// Resolve say which blocks to fetch next of a directory with all below it, and of
// a path.
//
// Blocks are checked against their CIDs by who puts them into a Store, package
// buyer; what a Store finds on disk when it is opened it checks itself, all of it.
package fetch
