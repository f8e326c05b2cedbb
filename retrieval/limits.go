package retrieval

import "github.com/perdure/perdure/chain"

// The limits of the protocol. A frame over its limit ends the session before
// memory is taken for it.
const (
	// ChunkSize is the most block bytes of a chunk; only a chunk of one block
	// may have more.
	ChunkSize = 262_144
	// MaxBlock is the most bytes a block may have.
	MaxBlock = 2 << 20
	// MaxChunkBlocks is the most blocks of a chunk, however small they are.
	MaxChunkBlocks = 1024
	// MaxRuns is the most runs that one Want may name.
	MaxRuns = 512
	// MaxWants is the most Wants that a seller keeps waiting in one session.
	MaxWants = 8
	// MaxText is the most bytes of an error's text.
	MaxText = 256
	// MaxControl is the most bytes of a frame that is no chunk, kind included.
	MaxControl = 64 << 10
	// MaxFrame is the most bytes of any frame, kind included: a chunk of
	// MaxChunkBlocks blocks or of one largest block, with its heads.
	MaxFrame = MaxBlock + MaxChunkBlocks*(maxCID+8) + 64
	// maxCID bounds the bytes of one CID; a sha2-256 CIDv1 has 36.
	maxCID = 128
)

const (
	// StartCredit is how many chunks may be unpaid at the start of a session: that
	// of a file's first nodes, and that of its first leaf, which then comes without
	// a round trip between the two.
	StartCredit = 2
	// MaxCredit is the credit window: the most chunks that may be unpaid.
	MaxCredit = 4
	// RegainCredit is how many paid chunks make up for one that an earlier
	// session of the channel left unpaid.
	RegainCredit = 64
)

// Window is how many chunks a seller sends ahead of payment, paid chunks into a
// session on a channel whose earlier sessions left owed chunks unpaid. It grows
// from StartCredit by one with each paid chunk up to most; what is owed comes
// off the most, so that breaking off again and again costs a seller no more
// than one window. All sessions of a channel together have at most - owed.
func Window(paid, most, owed uint64) uint64 {
	most = min(most, MaxCredit)
	if owed >= most {
		return 0
	}
	return min(most-owed, addCapped(paid, StartCredit))
}

func addCapped(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}

// Packer fills chunks: it says where one chunk ends and the next begins. Every
// chunk takes as many whole blocks, in the order asked, as go into ChunkSize
// bytes and MaxChunkBlocks, and always at least one. Both sides run a Packer,
// so a seller cannot cut chunks short to be paid more often.
type Packer struct{ blocks, bytes uint64 }

// Fits reports whether a block of size bytes belongs into the present chunk.
func (p *Packer) Fits(size uint64) bool {
	return p.blocks == 0 || p.blocks < MaxChunkBlocks && size <= ChunkSize && p.bytes+size <= ChunkSize
}

// Add puts a block into the present chunk, or begins the next with it, and
// reports whether it began one.
func (p *Packer) Add(size uint64) (began bool) {
	if began = p.blocks == 0 || !p.Fits(size); began {
		*p = Packer{}
	}
	p.blocks++
	p.bytes += size
	return began
}

// End ends the present chunk, as the end of a Want does.
func (p *Packer) End() { *p = Packer{} }

// Chunks is how many chunks blocks of these sizes make when they are asked for
// in one Want.
func Chunks(sizes []uint32) uint64 {
	var p Packer
	var n uint64
	for _, size := range sizes {
		if p.Add(uint64(size)) {
			n++
		}
	}
	return n
}

// Cost is what chunks cost at price attoPDR each.
func Cost(price chain.Amount, chunks uint64) (chain.Amount, error) { return price.Mul(chunks) }
