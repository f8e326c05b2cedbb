package p2p

import (
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"

	"github.com/perdure/perdure/retrieval"
)

// firstWindow is what a stream over TCP takes before it has said that it takes more:
// a credit window with the heads of its chunks. The 256 KiB of yamux are less than one
// chunk of nodes and the first leaf of a file, which would then come a round trip later.
const firstWindow = retrieval.MaxCredit*retrieval.ChunkSize + 64<<10

// lastWindow is the most that a stream takes: firstWindow doubled, until it is above
// the 16 MiB of libp2p. It must be reached by doubling alone. When yamux makes a window
// larger it does not tell the sender of what was read since it told it last, at most
// the window before; it tells it again when half of the new one was read. After a step
// of less than twice the sender may have less than half, and both wait for ever.
const lastWindow = firstWindow << 4

// muxed is how streams share a TCP connection.
func muxed() libp2p.Option { return libp2p.Muxer(yamux.ID, streams()) }

// streams is yamux as libp2p has it, with windows of our own.
func streams() *yamux.Transport {
	own := *yamux.DefaultTransport
	own.InitialStreamWindowSize = firstWindow
	own.MaxStreamWindowSize = lastWindow
	return &own
}
