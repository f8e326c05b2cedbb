package compat

import (
	"time"

	"github.com/perdure/perdure/chain"
)

// Engine tells what only the consensus engine knows; a node does.
type Engine interface {
	// Block is a committed block; nil if the engine has none at that height,
	// or keeps it no more.
	Block(h chain.Height) *Block
	// Header is its header alone.
	Header(h chain.Height) *Header
	// Find is the height of the block with a hash.
	Find(hash []byte) (chain.Height, bool)
	// Node is what the node tells its peers of itself.
	Node() NodeInfo
}

// BlockID names a block, and the parts in which it travels.
type BlockID struct {
	Hash, PartsHash []byte
	Parts           uint32
}

// Header is a block's header, in the engine's own terms.
type Header struct {
	ID                                           BlockID
	Block, App                                   uint64 // versions
	ChainID                                      string
	Height                                       chain.Height
	Time                                         time.Time
	Last                                         BlockID
	LastCommit, Data, Validators, NextValidators []byte // hashes
	Consensus, AppHash, LastResults, Evidence    []byte // hashes
	Proposer                                     []byte // consensus address
	Size                                         int    // of the block, in bytes
}

// Block is a header with what it is the header of.
type Block struct {
	Header
	Txs    [][]byte // the beacon's contribution first, if there is one
	Commit Commit   // for the block before
}

// Commit is the votes for a block.
type Commit struct {
	Height chain.Height
	Round  int32
	ID     BlockID
	Votes  []Vote
}

// Vote is one validator's. Of one that did not vote only Flag says something.
type Vote struct {
	Flag      VoteFlag
	Validator []byte // consensus address
	Time      time.Time
	Signature []byte
}

// VoteFlag says what a validator voted for.
type VoteFlag byte

// The flags, as the engine numbers them.
const (
	VoteAbsent VoteFlag = 1
	VoteCommit VoteFlag = 2
	VoteNil    VoteFlag = 3
)

// NodeInfo is what a node tells its peers of itself.
type NodeInfo struct {
	P2P, Block, App     uint64 // versions
	ID, Listen, Network string
	Version, Moniker    string
	Channels            string // hexadecimal
}
