// Package files is a client's memory: what it stored, the keys that open it,
// the bids that were placed for it and the deals they made, and the archives
// that miners still have to fetch.
//
// In a client's home are
//
//	records/   the records, in Pebble
//	spool/     one directory a put: its archives, until every copy is active
//	fetch/     what is being fetched and has no place of its own yet
//
// Several processes may use one home at a time, such as a `put` beside a
// `client run`: the records are opened for each use and closed again, and what
// only one of them may do at a time is under a Lock. Every write is on disk when it
// returns.
//
// Whoever can read the records can read the content: keep the home private.
package files
