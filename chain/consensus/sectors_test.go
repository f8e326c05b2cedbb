package consensus

import (
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep/piece"
)

func init() {
	verbs["precommit"] = preCommitVerb
	verbs["prove"] = proveVerb
	verbs["window-proof"] = windowProofVerb
	verbs["declare-faults"] = func(_ *script, a args) chain.Body {
		return &chain.DeclareFaults{Miner: a.number("miner"), Sectors: a.numbers("sectors")}
	}
	verbs["declare-recoveries"] = func(_ *script, a args) chain.Body {
		return &chain.DeclareRecoveries{Miner: a.number("miner"), Sectors: a.numbers("sectors")}
	}
}

func init() {
	verbs["terminate"] = func(_ *script, a args) chain.Body {
		return &chain.TerminateSectors{Miner: a.number("miner"), Sectors: a.numbers("sectors")}
	}
	verbs["extend"] = func(s *script, a args) chain.Body {
		return &chain.ExtendSectors{Miner: a.number("miner"), Sectors: a.numbers("sectors"), Expiration: s.until(a, "expires", 0)}
	}
}

// preCommitVerb reads miner=, sectors=1,2, ticket=HEIGHT (the last one), expires=HEIGHT
// (a thousand blocks later than the least), pieces=SIZE[:DEAL],... in every sector.
func preCommitVerb(s *script, a args) chain.Body {
	b := &chain.PreCommitSectors{Miner: a.number("miner")}
	next := s.height + 1
	for _, n := range a.numbers("sectors") {
		p := chain.PreCommit{Number: n, CommR: [32]byte(seed("commr", a.text("from"))),
			TicketHeight: chain.Height(a.number("ticket", uint64(s.height))),
			Expiration:   chain.Height(a.number("expires", uint64(s.params.LeastExpiration(next)+1000)))}
		if a.has("pieces") {
			p.Pieces = s.pieces(a.t, a.text("pieces"))
		}
		b.Sectors = append(b.Sectors, p)
	}
	return b
}

// pieces reads SIZE[:DEAL],...; the piece of a deal that exists is the deal's.
func (s *script) pieces(t testing.TB, list string) []chain.SectorPiece {
	t.Helper()
	var out []chain.SectorPiece
	for _, f := range strings.Split(list, ",") {
		size, deal, _ := strings.Cut(f, ":")
		a := args{t, map[string]string{"size": size, "deal": deal}}
		p := chain.SectorPiece{PieceCID: piece.UnsealedCID([32]byte(seed("piece", size))), PaddedSize: a.size("size")}
		if deal != "" {
			p.Deal = a.number("deal")
			var d chain.Deal
			if s.record(chain.DealKey(p.Deal), &d) {
				p.PieceCID = d.PieceCID
			}
		}
		out = append(out, p)
	}
	return out
}

// proveVerb reads miner=, sector=, part= (0), proof= (ok).
func proveVerb(_ *script, a args) chain.Body {
	return &chain.ProveCommit{Miner: a.number("miner"), Number: a.number("sector"), Part: a.number("part", 0), Proof: proofText(a)}
}

func proofText(a args) []byte {
	if a.has("proof") {
		return []byte(a.text("proof"))
	}
	return []byte("ok")
}

// windowProofVerb reads miner=, partition= (0), skip=SLOTS, proof= (ok), and
// period= and deadline=, which are those open in the next block.
func windowProofVerb(s *script, a args) chain.Body {
	b := &chain.SubmitWindowProof{Miner: a.number("miner"), Partition: a.number("partition", 0), Proof: proofText(a)}
	var m chain.Miner
	s.record(chain.MinerKey(b.Miner), &m)
	open, _ := s.params.Schedule().At(uint64(m.PeriodStart), uint64(s.height+1))
	b.Period, b.Deadline = a.number("period", open.Period), a.number("deadline", open.Index)
	for _, slot := range a.numbers("skip") {
		b.Skipped |= 1 << slot
	}
	return b
}
