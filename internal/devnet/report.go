package devnet

import (
	"fmt"
	"io"
	"strings"

	"github.com/perdure/perdure/chain"
)

// Report is what a demo did; its JSON is the one object of `perdure demo --json`.
// Amounts are attoPDR.
type Report struct {
	OK        bool            `json:"ok"` // everything below is as it must be
	File      ReportFile      `json:"file"`
	RootCID   string          `json:"rootCid"`
	PieceCID  string          `json:"pieceCid"` // of the first piece
	Pieces    []ReportPiece   `json:"pieces"`
	Deals     []ReportDeal    `json:"deals"`
	Proofs    []ReportProof   `json:"proofs"`
	Losses    []ReportLoss    `json:"losses,omitempty"` // with --lose: copies whose miners were switched off
	Retrieval ReportRetrieval `json:"retrieval"`
	Chain     ReportChain     `json:"chain"`

	Problems []string `json:"-"` // why it is not OK
	copies   int
	lose     int // miners
	private  bool
	seconds  float64
	messages uint64
}

// ReportFile is what was stored: of a directory, its deterministic tar.
type ReportFile struct {
	SHA256 string `json:"sha256"`
	Size   uint64 `json:"size"`
}

// ReportPiece is one part of the payload.
type ReportPiece struct {
	PieceCID    string `json:"pieceCid"`
	PaddedSize  uint64 `json:"paddedSize"`
	PayloadSize uint64 `json:"payloadSize"`
}

// ReportDeal is one copy of a piece. Price is that of the whole deal.
type ReportDeal struct {
	ID       uint64       `json:"id"`
	Miner    string       `json:"miner"`
	PieceCID string       `json:"pieceCid"`
	Price    chain.Amount `json:"price"`
	ActiveAt chain.Height `json:"activeAt"`
}

// ReportProof is one block's accepted window proofs of a miner that holds a copy.
type ReportProof struct {
	Miner   string       `json:"miner"`
	Height  chain.Height `json:"height"`
	Sectors []uint64     `json:"sectors"`
}

// ReportRetrieval is how the file came back.
type ReportRetrieval struct {
	Bytes      uint64       `json:"bytes"` // of blocks
	Chunks     uint64       `json:"chunks"`
	ChunkPrice chain.Amount `json:"chunkPrice"`
	Paid       chain.Amount `json:"paid"`     // by the client, in ticks
	Redeemed   chain.Amount `json:"redeemed"` // by the miners, on chain
	SHA256     string       `json:"sha256"`   // of what was fetched
	Seconds    float64      `json:"seconds"`
}

// ReportChain is where the chain was in the end. Bytes are those of all blocks.
type ReportChain struct {
	ChainID string       `json:"chainId"`
	Height  chain.Height `json:"height"`
	AppHash string       `json:"appHash"` // of Height, hexadecimal
	Blocks  uint64       `json:"blocks"`
	Bytes   uint64       `json:"bytes"`
}

// leastProofs is how many accepted window proofs every miner with a copy needs.
const leastProofs = 2

// judge lists what does not hold, and sets OK if everything does.
func (r *Report) judge() {
	r.Problems = nil
	wrong := func(format string, args ...any) { r.Problems = append(r.Problems, fmt.Sprintf(format, args...)) }
	active := 0
	holders := map[string]bool{}
	for _, d := range r.Deals {
		if d.ActiveAt > 0 {
			active++
			holders[d.Miner] = true
		}
	}
	if want := r.copies * len(r.Pieces); active != want || want == 0 {
		wrong("%d of %d copies are active", active, want)
	}
	for miner := range holders {
		n := 0
		for _, p := range r.Proofs {
			if p.Miner == miner {
				n++
			}
		}
		if n < leastProofs {
			wrong("miner %s has %d accepted window proofs, want %d", miner, n, leastProofs)
		}
	}
	r.judgeLosses(wrong)
	if r.File.SHA256 == "" || r.Retrieval.SHA256 != r.File.SHA256 {
		wrong("what was fetched has SHA-256 %q, what was stored %q", r.Retrieval.SHA256, r.File.SHA256)
	}
	due, err := r.Retrieval.ChunkPrice.Mul(r.Retrieval.Chunks)
	if err != nil || due != r.Retrieval.Paid || due.IsZero() {
		wrong("%d chunks at %s are %s, paid was %s", r.Retrieval.Chunks, r.Retrieval.ChunkPrice, due, r.Retrieval.Paid)
	}
	if r.Retrieval.Redeemed != r.Retrieval.Paid {
		wrong("paid was %s, redeemed %s", r.Retrieval.Paid, r.Retrieval.Redeemed)
	}
	r.OK = len(r.Problems) == 0
}

// judgeLosses lists what does not hold of the copies that were lost.
func (r *Report) judgeLosses(wrong func(format string, args ...any)) {
	off := map[string]bool{}
	for i := range r.Losses {
		l := &r.Losses[i]
		off[l.Miner] = true
		for _, step := range []struct {
			name string
			at   chain.Height
		}{{"found faulty", l.FaultAt}, {"lost", l.LostAt}, {"ordered anew", l.OrderedAt}, {"active again", l.ActiveAt}, {"proven again", l.ProvenAt}} {
			if step.at == 0 {
				wrong("the copy of deal %d was not %s", l.Deal, step.name)
			}
		}
		if l.Slashed.IsZero() {
			wrong("miner %s lost a copy and no pledge", l.Miner)
		}
		for _, d := range r.Deals {
			if d.Miner == l.NewMiner && d.PieceCID == r.pieceOf(l.Deal) {
				wrong("miner %s has two copies of a piece", l.NewMiner)
			}
		}
	}
	if len(off) != r.lose {
		wrong("%d miners with a copy were switched off, want %d", len(off), r.lose)
	}
}

// pieceOf is the piece of a deal.
func (r *Report) pieceOf(deal uint64) string {
	for _, d := range r.Deals {
		if d.ID == deal {
			return d.PieceCID
		}
	}
	return ""
}

// Summary writes the report for people.
func (r *Report) Summary(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	b.WriteString("\n")
	kept := "as it is"
	if r.private {
		kept = "encrypted"
	}
	line("stored", "%s, %s, as %s", bytesText(r.File.Size), kept, r.RootCID)
	for _, p := range r.Pieces {
		line("piece", "%s  %s padded", p.PieceCID, chain.FormatSize(p.PaddedSize))
	}
	for _, d := range r.Deals {
		line("deal", "%d with miner %s for %s, active at height %d", d.ID, d.Miner, d.Price.Human(), d.ActiveAt)
	}
	for _, p := range r.Proofs {
		line("proven", "by %s at height %d: sectors %v", p.Miner, p.Height, p.Sectors)
	}
	for _, l := range r.Losses {
		line("lost", "deal %d: %s off at height %d, faulty at %d (%s), lost at %d: %s of pledge burned", l.Deal, l.Miner, l.OffAt, l.FaultAt,
			l.Fault, l.LostAt, l.Slashed.Human())
		line("repaired", "by the chain's order %d at height %d: deal %d with %s, active at %d, proven at %d", l.Order, l.OrderedAt, l.NewDeal,
			l.NewMiner, l.ActiveAt, l.ProvenAt)
	}
	x := r.Retrieval
	line("fetched", "%s in %d chunks and %.1f s, SHA-256 %s", bytesText(x.Bytes), x.Chunks, x.Seconds, x.SHA256)
	line("paid", "%s (%d chunks at %s); redeemed on chain: %s", x.Paid.Human(), x.Chunks, x.ChunkPrice.Human(), x.Redeemed.Human())
	line("chain", "%s: %d blocks, %d messages, %s; app hash %s", r.Chain.ChainID, r.Chain.Blocks, r.messages, bytesText(r.Chain.Bytes), r.Chain.AppHash)
	line("took", "%.0f s", r.seconds)
	for _, p := range r.Problems {
		line("PROBLEM", "%s", p)
	}
	if r.OK {
		line("all holds", "every copy active, proven and paid for as it must be")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// bytesText writes a number of bytes with a fitting unit.
func bytesText(n uint64) string {
	for _, u := range []struct {
		size uint64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
