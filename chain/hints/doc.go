// Package hints knows what miners say about the payloads in their pieces.
//
// A bid names one root. A piece that holds many small files has a root of its own,
// and the chain knows nothing of those in it; the miner that holds the piece does. It
// lists them at its HTTP door, and this package's Follower asks the doors of all
// miners for their lists from time to time, so that a node can answer the question
// who has a root.
//
// What comes of it is a hint and no more. A miner may say what it likes: whoever acts
// on a hint fetches from a stranger and checks every block against the root, as
// always. What a liar costs others is one question, and room: a Table is bounded, and
// where it is full those who say most are cut first.
//
// The list is at Path, one JSON object a line, the newest pieces first; a piece with
// many roots may take several lines:
//
//	{"piece":"baga6ea4seaq...","roots":["bafkrei...","bafybei..."]}
//
// An answer has an ETag; asked again with If-None-Match, a door whose list has not
// changed answers 304.
package hints

// Path is where a miner's door lists its pieces of several payloads.
const Path = "/v1/contents"

// Line is one line of a list.
type Line struct {
	Piece string   `json:"piece"`
	Roots []string `json:"roots"`
}

// MaxLine is the most bytes of a line, MaxRoots the most roots that a door puts into one.
const (
	MaxLine  = 1 << 20
	MaxRoots = 4_096
)
