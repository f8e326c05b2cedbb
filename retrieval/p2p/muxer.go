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

// muxed is how streams share a TCP connection: as libp2p has it, with a larger first
// window.
func muxed() libp2p.Option {
	own := *yamux.DefaultTransport
	own.InitialStreamWindowSize = firstWindow
	return libp2p.Muxer(yamux.ID, &own)
}
