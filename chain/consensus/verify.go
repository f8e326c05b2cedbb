package consensus

import (
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/post"
)

// Direct is the Verifier that computes each answer when it is asked. It has no
// state and is safe for concurrent use.
type Direct struct{}

// Message implements Verifier.
func (Direct) Message(m *chain.SignedMessage, raw []byte, _ chain.Hash, chainID string) error {
	return m.Verify(raw, chainID)
}

// Signature implements Verifier.
func (Direct) Signature(sig *crypto.Signature, signer chain.Address, message []byte) error {
	return chain.VerifySignature(sig, signer, message)
}

// SealProof implements Verifier by porep.Verify. Its error names the first
// challenge that does not hold.
func (Direct) SealProof(c *SealCheck, proof []byte) error {
	return porep.Verify(porep.SealInput{
		ProofType: c.ProofType, MinerID: c.Miner, Number: abi.SectorNumber(c.Number),
		Ticket: c.Ticket, Seed: c.Seed, CommD: c.CommD, CommR: c.CommR,
		First: int(c.First), Count: int(c.Count),
	}, proof)
}

// WindowProof implements Verifier by post.Verify. Its error names the first
// sector and challenge that do not hold.
func (Direct) WindowProof(c *WindowCheck, proof []byte) error {
	kind, err := c.SealProof.RegisteredWindowPoStProofByNetworkVersion(windowVersion)
	if err != nil {
		return post.ErrProofType
	}
	sectors := make([]post.Sector, len(c.Sectors))
	for i, s := range c.Sectors {
		sectors[i] = post.Sector{Number: abi.SectorNumber(s.Number), CommR: s.CommR}
	}
	return post.Verify(post.WindowInput{
		ProofType: kind, Randomness: c.Randomness, Challenges: int(c.Challenges), Sectors: sectors,
	}, proof)
}

// windowVersion is the first Filecoin network version whose window proofs are V1_1.
const windowVersion = 19

// Beacon implements Verifier by VerifyBeacon.
func (Direct) Beacon(key, message, signature []byte) error {
	return VerifyBeacon(key, message, signature)
}
