package consensus

import (
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
)

// View is one committed state, never changing. chain/state implements it, a
// map does in tests.
type View interface {
	// Record returns the canonical encoding of a key's record, or nil if there is none.
	Record(chain.Key) ([]byte, error)
	// Book returns the order book of this state. It is immutable.
	Book() *orderbook.Book
}

// SealCheck names one part of a sector's PoRep openings.
type SealCheck struct {
	ProofType    abi.RegisteredSealProof
	Miner        chain.MinerID
	Number       uint64
	Ticket, Seed [32]byte
	CommD, CommR [32]byte
	First, Count uint64 // challenges that the part covers
}

// WindowSector is a sector that a window proof covers.
type WindowSector struct {
	Number uint64
	CommR  [32]byte
}

// WindowCheck names one partition's proof.
type WindowCheck struct {
	SealProof  abi.RegisteredSealProof
	Randomness [32]byte
	Challenges uint64
	Sectors    []WindowSector
}

// Verifier answers the expensive questions of the rules. Its answers depend on
// the arguments alone.
type Verifier interface {
	// Message checks that the sender of a message signed it for a chain. raw is
	// the message's encoding and hash the SHA-256 of that, which names all of it.
	Message(m *chain.SignedMessage, raw []byte, hash chain.Hash, chainID string) error
	// Signature checks a secp256k1 signature by the key address signer.
	Signature(sig *crypto.Signature, signer chain.Address, message []byte) error
	SealProof(c *SealCheck, proof []byte) error
	WindowProof(c *WindowCheck, proof []byte) error
	// Beacon checks a BLS contribution (96 bytes, G2) under a key (48 bytes, G1).
	Beacon(key, message, signature []byte) error
}
