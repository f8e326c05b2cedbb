package view

import (
	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
)

// Content is one of several contents that a quote is for.
type Content struct {
	Name        string `json:"name"`
	RootCID     string `json:"rootCid"`
	Size        uint64 `json:"size"`
	PayloadSize uint64 `json:"payloadSize"`
	Shares      bool   `json:"shares"` // a piece with others
}

// Quote is a quote as put --dry-run shows it. Amounts are attoPDR; null
// without a node.
type Quote struct {
	RootCID     string            `json:"rootCid,omitempty"` // of one content
	Contents    []Content         `json:"contents,omitempty"`
	PayloadSize uint64            `json:"payloadSize"`
	Pieces      []Piece           `json:"pieces"`
	Copies      uint64            `json:"copies"`
	Duration    *uint64           `json:"duration"` // blocks
	Price       *chain.Amount     `json:"price"`
	Fees        *chain.Amount     `json:"fees"`
	Deposits    *chain.Amount     `json:"deposits"`
	Total       *chain.Amount     `json:"total"`
	MaxPrice    *chain.Amount     `json:"maxPrice"` // that the bids would allow, per GiB per block
	Missing     *uint64           `json:"missing"`  // copies that find no ask now
	GiBMonth    *chain.Amount     `json:"gibMonth"` // price for each GiB (padded, each copy counted) and 30 days
	Renewals    *chain.Amount     `json:"renewals"` // what the further terms cost at most, not in total
	Earliest    *uint64           `json:"earliest"` // blocks until a copy can be proven
	Expected    *uint64           `json:"expected"` // until it is, by the median of recent deals
	Latest      *uint64           `json:"latest"`   // by when it is, or is void
	Seen        *Seen             `json:"seen"`
	Miners      []client.Standing `json:"miners,omitempty"` // whose asks would be taken
}

// Seen is what a quote knows of the order book.
type Seen struct {
	Asks   int  `json:"asks"`   // the cheapest of those that may take the pieces
	More   bool `json:"more"`   // there are others, none cheaper
	Proven bool `json:"proven"` // they were read by proof; that there are none cheaper is what the node says
	Bids   int  `json:"bids"`   // ahead, which were let trade first
	Deals  int  `json:"deals"`  // that expected is the median of; 0: it is earliest
}

// QuoteOf gives a quote its JSON form.
func QuoteOf(q *client.Quote) Quote {
	out := Quote{PayloadSize: q.PayloadSize, Copies: q.Copies, Pieces: []Piece{}, Miners: q.Miners}
	if q.Root.Defined() {
		out.RootCID = q.Root.String()
	}
	for _, c := range q.Contents {
		out.Contents = append(out.Contents, Content{c.Name, c.Root.String(), c.Size, c.PayloadSize, c.Pieces == nil})
	}
	for i := range q.Pieces {
		p := &q.Pieces[i]
		one := Piece{PaddedSize: p.PaddedSize, PayloadSize: p.PayloadSize}
		if p.CID.Defined() {
			one.PieceCID = p.CID.String()
		}
		out.Pieces = append(out.Pieces, one)
	}
	if q.Duration != 0 {
		out.Duration = &q.Duration
	}
	if m := q.Market; m != nil {
		out.Price, out.Fees, out.Deposits, out.Total, out.MaxPrice, out.Missing = &m.Price, &m.Fees, &m.Deposits, &m.Total, &m.MaxPrice, &m.Missing
		out.GiBMonth, out.Renewals, out.Earliest, out.Expected, out.Latest = &m.GiBMonth, &m.Renewals, &m.Earliest, &m.Expected, &m.Latest
		out.Seen = &Seen{m.Asks, m.More, m.Proven, m.Ahead, m.Deals}
	}
	return out
}
