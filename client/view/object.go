package view

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/files"
)

// Piece is a piece as the commands show it.
type Piece struct {
	PieceCID    string `json:"pieceCid,omitempty"` // absent in a quote that does not know it
	PaddedSize  uint64 `json:"paddedSize"`
	PayloadSize uint64 `json:"payloadSize"`
	Order       uint64 `json:"order,omitempty"` // the bid
}

// Deal is one copy of a piece.
type Deal struct {
	ID         uint64       `json:"id"`
	Miner      string       `json:"miner"`
	PieceCID   string       `json:"pieceCid"`
	State      string       `json:"state"`
	Price      chain.Amount `json:"price"`                // attoPDR per GiB per block
	Total      chain.Amount `json:"total"`                // attoPDR
	FetchBy    chain.Height `json:"fetchBy,omitempty"`    // while matched: void unless the miner has it by then
	ActivateBy chain.Height `json:"activateBy,omitempty"` // while accepted: void unless it is proven by then
	ActiveAt   chain.Height `json:"activeAt,omitempty"`
	End        chain.Height `json:"end,omitempty"`
	Reason     string       `json:"reason,omitempty"`
}

// Object is one put as put and ls show it.
type Object struct {
	RootCID     string              `json:"rootCid"`
	State       string              `json:"state"`
	Kind        string              `json:"kind"`
	Name        string              `json:"name"`
	Public      bool                `json:"public"`
	Size        uint64              `json:"size"`
	SHA256      string              `json:"sha256"`
	PayloadSize uint64              `json:"payloadSize"`
	Stored      time.Time           `json:"stored"`
	Copies      uint64              `json:"copies"`
	Duration    uint64              `json:"duration"` // blocks
	MaxPrice    chain.Amount        `json:"maxPrice"` // attoPDR per GiB per block
	Regions     []string            `json:"regions,omitempty"`
	Renew       *files.Renew        `json:"renew,omitempty"`
	Pieces      []Piece             `json:"pieces"`
	Deals       []Deal              `json:"deals"`
	Problems    []string            `json:"problems,omitempty"`
	In          string              `json:"in,omitempty"`         // piece CID, if it shares the piece with others
	Holds       []Held              `json:"holds,omitempty"`      // what shares it, if it is a piece that several share
	Wanted      uint64              `json:"wanted"`               // copies of all pieces
	Active      uint64              `json:"active"`               // of them, proven
	CopyStates  []client.CopyStatus `json:"copyStates,omitempty"` // each copy of each piece, if a node was asked
	Next        string              `json:"next,omitempty"`       // what happens next, and by when, if a node was asked
	Warnings    []string            `json:"warnings,omitempty"`   // what will go wrong unless something is done
}

// Held is a content in a piece that several share.
type Held struct {
	RootCID string `json:"rootCid"`
	Name    string `json:"name"`
}

// ObjectOf gives a record its JSON form, without its key.
func ObjectOf(o *files.Object) Object {
	out := Object{
		RootCID: o.Root, State: o.State(), Kind: o.Kind, Name: o.Name, Public: o.IsPublic(), Size: o.Size,
		SHA256: hex.EncodeToString(o.SHA256), PayloadSize: o.PayloadSize, Stored: o.Created, Copies: o.Copies,
		Duration: o.Duration, MaxPrice: o.MaxPrice, Regions: o.Regions, Renew: o.Renew, Pieces: []Piece{}, Deals: []Deal{}, Problems: o.Problems(),
	}
	out.Wanted, out.Active, _ = o.Count()
	if o.In != 0 && len(o.Pieces) == 1 {
		out.In = o.Pieces[0].CID
	}
	network := chain.Testnet
	if strings.HasPrefix(o.Client, string(rune(chain.Mainnet))) {
		network = chain.Mainnet
	}
	for i := range o.Pieces {
		p := &o.Pieces[i]
		out.Pieces = append(out.Pieces, Piece{p.CID, p.PaddedSize, p.PayloadSize, p.Bid.Order})
		for _, d := range p.Deals {
			shown := Deal{ID: d.ID, Miner: chain.FormatMiner(d.Miner, network), PieceCID: p.CID, State: d.State, Price: d.Price, Total: d.Total,
				ActiveAt: d.ActiveAt, End: d.End, Reason: d.Reason}
			switch d.State {
			case chain.DealMatched.String():
				shown.FetchBy = d.FetchBy
			case chain.DealAccepted.String():
				shown.ActivateBy = d.ActivateBy
			}
			out.Deals = append(out.Deals, shown)
		}
	}
	return out
}

// StatusOf is ObjectOf with how the object stands.
func StatusOf(s *client.ObjectStatus) Object {
	out := ObjectOf(s.Object)
	out.CopyStates, out.Next, out.Warnings = s.Copies, s.Next, s.Warnings
	for _, o := range s.Holds {
		out.Holds = append(out.Holds, Held{o.Root, o.Name})
	}
	return out
}
