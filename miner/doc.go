// Package miner holds the nouns of a miner's own records and, in ports.go, all
// that a miner needs from the world. The machinery stands beside it: sealing
// makes sectors, proving keeps them proven, deals brings data in, disk knows
// the paths, db keeps the records, and daemon puts them together.
//
// The chain's records are the truth about what was agreed and proven; a
// miner's own records only say what it is in the middle of, so that a process
// that dies goes on where it was.
package miner

import (
	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner/sector"
)

// Sector is a miner's own record of one of its sectors.
type Sector struct {
	Number       uint64              `json:"number"`
	State        sector.State        `json:"state"`
	Pieces       []chain.SectorPiece `json:"pieces"`
	TicketHeight chain.Height        `json:"ticketHeight"` // 0: no ticket drawn yet
	Ticket       chain.Hash          `json:"ticket"`
	CommD        chain.Hash          `json:"commD"` // zero until sealed
	CommR        chain.Hash          `json:"commR"`
	Expiration   chain.Height        `json:"expiration"`
	Step         string              `json:"step,omitempty"`    // of sealing, while it runs
	Done         uint64              `json:"done,omitempty"`    // nodes of the step
	Total        uint64              `json:"total,omitempty"`   // nodes of the step
	Problem      string              `json:"problem,omitempty"` // why work on it is parked; tried again later
	Attempts     uint64              `json:"attempts,omitempty"`
}

// DealState is a deal's place on its way into a sector.
type DealState string

// The states of a deal as its miner sees it.
const (
	DealFetching  DealState = "fetching"  // matched: the piece is to be fetched
	DealFetched   DealState = "fetched"   // the piece is here; to be accepted on chain
	DealAccepted  DealState = "accepted"  // accepted on chain: waits for a sector
	DealPacked    DealState = "packed"    // in a sector that is being sealed
	DealActive    DealState = "active"    // earning
	DealEnded     DealState = "ended"     // completed, void or lost: see the chain's record
	DealDiscarded DealState = "discarded" // the client sent another piece than it bid for
)

// Deal is a miner's own record of one of its deals.
type Deal struct {
	Deal    chain.Deal `json:"-"`
	ID      uint64     `json:"id"`
	State   DealState  `json:"state"`
	Sector  uint64     `json:"sector,omitempty"` // while packed or active
	Problem string     `json:"problem,omitempty"`
	// Swept says that the deal is over and its piece is no more kept for it.
	Swept bool `json:"swept,omitempty"`
	// Wasted is attoPDR paid for what was not the piece of a repair.
	Wasted chain.Amount `json:"wasted"`
}
