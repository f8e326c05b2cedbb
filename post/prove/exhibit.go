package prove

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/seal"
	"github.com/perdure/perdure/post/exhibit"
)

// Exhibit makes a proof of the finished sector in a directory, with its statement: of its sealing
// or that it is held, answering so many challenges drawn from the seed. It does not verify what it
// made. A proof of sealing needs what seal.Keep calls Proving.
func Exhibit(ctx context.Context, dir string, kind exhibit.Kind, seed [32]byte, challenges int) (*exhibit.Exhibit, error) {
	sector, err := seal.Find(dir)
	if err != nil {
		return nil, err
	}
	in, err := sector.Statement(seed, 0, 1)
	if err != nil {
		return nil, err
	}
	e := &exhibit.Exhibit{
		Kind: kind, ProofType: in.ProofType, MinerID: in.MinerID, Number: in.Number,
		Ticket: in.Ticket, Seed: seed, CommD: in.CommD, CommR: in.CommR, Challenges: challenges,
	}
	if kind == exhibit.Window {
		statement, err := e.Statement()
		if err != nil {
			return nil, err
		}
		proof, err := Window(ctx, statement, []string{dir})
		if err != nil {
			return nil, err
		}
		e.Parts = [][]byte{proof}
		return e, nil
	}
	for first := 0; first < challenges; first += porep.MaxPartChallenges {
		part := len(e.Parts)
		proof, err := sector.Prove(ctx, seed, first, exhibit.PartCount(challenges, part))
		if err != nil {
			return nil, fmt.Errorf("prove part %d: %w", part, err)
		}
		e.Parts = append(e.Parts, proof)
	}
	return e, nil
}
