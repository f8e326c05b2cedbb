package client

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/retrieval/p2p"
)

// PieceJSON is a piece as the commands show it.
type PieceJSON struct {
	PieceCID    string `json:"pieceCid,omitempty"` // absent in a quote that does not know it
	PaddedSize  uint64 `json:"paddedSize"`
	PayloadSize uint64 `json:"payloadSize"`
	Order       uint64 `json:"order,omitempty"` // the bid
}

// ContentJSON is one of several contents that a quote is for.
type ContentJSON struct {
	Name        string `json:"name"`
	RootCID     string `json:"rootCid"`
	Size        uint64 `json:"size"`
	PayloadSize uint64 `json:"payloadSize"`
	Shares      bool   `json:"shares"` // a piece with others
}

// QuoteJSON is a quote as put --dry-run shows it. Amounts are attoPDR; null
// without a node.
type QuoteJSON struct {
	RootCID     string        `json:"rootCid,omitempty"` // of one content
	Contents    []ContentJSON `json:"contents,omitempty"`
	PayloadSize uint64        `json:"payloadSize"`
	Pieces      []PieceJSON   `json:"pieces"`
	Copies      uint64        `json:"copies"`
	Duration    *uint64       `json:"duration"` // blocks
	Price       *chain.Amount `json:"price"`
	Fees        *chain.Amount `json:"fees"`
	Deposits    *chain.Amount `json:"deposits"`
	Total       *chain.Amount `json:"total"`
	MaxPrice    *chain.Amount `json:"maxPrice"` // that the bids would allow, per GiB per block
	Missing     *uint64       `json:"missing"`  // copies that find no ask now
	GiBMonth    *chain.Amount `json:"gibMonth"` // price for each GiB (padded, each copy counted) and 30 days
	Renewals    *chain.Amount `json:"renewals"` // what the further terms cost at most, not in total
	Earliest    *uint64       `json:"earliest"` // blocks until a copy can be proven
	Expected    *uint64       `json:"expected"` // until it is, by the median of recent deals
	Latest      *uint64       `json:"latest"`   // by when it is, or is void
	Seen        *SeenJSON     `json:"seen"`
	Miners      []Standing    `json:"miners,omitempty"` // whose asks would be taken
}

// SeenJSON is what a quote knows of the order book.
type SeenJSON struct {
	Asks   int  `json:"asks"`   // the cheapest of those that may take the pieces
	More   bool `json:"more"`   // there are others, none cheaper
	Proven bool `json:"proven"` // they were read by proof; that there are none cheaper is what the node says
	Bids   int  `json:"bids"`   // ahead, which were let trade first
	Deals  int  `json:"deals"`  // that expected is the median of; 0: it is earliest
}

// ShowQuote gives a quote its JSON form.
func ShowQuote(q *Quote) QuoteJSON {
	out := QuoteJSON{PayloadSize: q.PayloadSize, Copies: q.Copies, Pieces: []PieceJSON{}, Miners: q.Miners}
	if q.Root.Defined() {
		out.RootCID = q.Root.String()
	}
	for _, c := range q.Contents {
		out.Contents = append(out.Contents, ContentJSON{c.Name, c.Root.String(), c.Size, c.PayloadSize, c.Pieces == nil})
	}
	for i := range q.Pieces {
		p := &q.Pieces[i]
		one := PieceJSON{PaddedSize: p.PaddedSize, PayloadSize: p.PayloadSize}
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
		out.Seen = &SeenJSON{m.Asks, m.More, m.Proven, m.Ahead, m.Deals}
	}
	return out
}

// DealJSON is one copy of a piece.
type DealJSON struct {
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

// ObjectJSON is one put as put and ls show it.
type ObjectJSON struct {
	RootCID     string       `json:"rootCid"`
	State       string       `json:"state"`
	Kind        string       `json:"kind"`
	Name        string       `json:"name"`
	Public      bool         `json:"public"`
	Size        uint64       `json:"size"`
	SHA256      string       `json:"sha256"`
	PayloadSize uint64       `json:"payloadSize"`
	Stored      time.Time    `json:"stored"`
	Copies      uint64       `json:"copies"`
	Duration    uint64       `json:"duration"` // blocks
	MaxPrice    chain.Amount `json:"maxPrice"` // attoPDR per GiB per block
	Regions     []string     `json:"regions,omitempty"`
	Renew       *files.Renew `json:"renew,omitempty"`
	Pieces      []PieceJSON  `json:"pieces"`
	Deals       []DealJSON   `json:"deals"`
	Problems    []string     `json:"problems,omitempty"`
	In          string       `json:"in,omitempty"`         // piece CID, if it shares the piece with others
	Wanted      uint64       `json:"wanted"`               // copies of all pieces
	Active      uint64       `json:"active"`               // of them, proven
	CopyStates  []CopyJSON   `json:"copyStates,omitempty"` // each copy of each piece, if a node was asked
	Next        string       `json:"next,omitempty"`       // what happens next, and by when, if a node was asked
	Warnings    []string     `json:"warnings,omitempty"`   // what will go wrong unless something is done
}

// ShowObject gives a record its JSON form, without its key.
func ShowObject(o *files.Object) ObjectJSON {
	out := ObjectJSON{
		RootCID: o.Root, State: o.State(), Kind: o.Kind, Name: o.Name, Public: o.IsPublic(), Size: o.Size,
		SHA256: hex.EncodeToString(o.SHA256), PayloadSize: o.PayloadSize, Stored: o.Created, Copies: o.Copies,
		Duration: o.Duration, MaxPrice: o.MaxPrice, Regions: o.Regions, Renew: o.Renew, Pieces: []PieceJSON{}, Deals: []DealJSON{}, Problems: o.Problems(),
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
		out.Pieces = append(out.Pieces, PieceJSON{p.CID, p.PaddedSize, p.PayloadSize, p.Bid.Order})
		for _, d := range p.Deals {
			shown := DealJSON{ID: d.ID, Miner: chain.FormatMiner(d.Miner, network), PieceCID: p.CID, State: d.State, Price: d.Price, Total: d.Total,
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

// SellerJSON is what one seller had to do with a Get.
type SellerJSON struct {
	Peer    string       `json:"peer"`
	Price   chain.Amount `json:"chunkPrice"`
	Chunks  uint64       `json:"chunks"`
	Bytes   uint64       `json:"bytes"`
	Dropped bool         `json:"dropped"`
	Error   string       `json:"error,omitempty"`
}

// GetJSON is what get reports. Amounts are attoPDR.
type GetJSON struct {
	RootCID    string       `json:"rootCid"`
	Kind       string       `json:"kind"`
	Size       uint64       `json:"size"`   // of the content
	Bytes      uint64       `json:"bytes"`  // of blocks fetched
	Chunks     uint64       `json:"chunks"` // that they came in
	ChunkPrice chain.Amount `json:"chunkPrice"`
	Paid       chain.Amount `json:"paid"`
	SHA256     string       `json:"sha256"`
	Seconds    float64      `json:"seconds"`
	Sellers    []SellerJSON `json:"sellers"`
}

// ShowGet gives the result of a Get its JSON form.
func ShowGet(r *GetResult) GetJSON {
	out := GetJSON{RootCID: r.Root.String(), Kind: string(r.Kind), Size: r.Size, Bytes: r.Bytes, Chunks: r.Chunks,
		ChunkPrice: r.ChunkPrice, Paid: r.Paid, SHA256: hex.EncodeToString(r.SHA256[:]), Seconds: r.Seconds, Sellers: []SellerJSON{}}
	for _, s := range r.Sellers {
		out.Sellers = append(out.Sellers, SellerJSON{p2p.FormatPeer(s.Peer), s.Price, s.Chunks, s.Bytes, s.Dropped, s.Err})
	}
	return out
}

// ChannelJSON is a payment channel. Amounts are attoPDR.
type ChannelJSON struct {
	ID       uint64       `json:"id"`
	State    string       `json:"state"` // open, settling
	Payee    string       `json:"payee"`
	Balance  chain.Amount `json:"balance"`  // not redeemed
	Redeemed chain.Amount `json:"redeemed"` // paid to the payee so far
	Opened   chain.Height `json:"opened"`
	SettleAt chain.Height `json:"settleAt,omitempty"` // from here on it can be collected
}

// ShowChannel gives a channel its JSON form.
func ShowChannel(c *chain.Channel) ChannelJSON {
	state := "open"
	if c.SettleAt != 0 {
		state = "settling"
	}
	return ChannelJSON{c.ID, state, chain.FormatAddress(c.Payee, chain.Testnet), c.Balance, c.Redeemed, c.Opened, c.SettleAt}
}

// ParseDuration reads blocks ("600b") or a time: what time.ParseDuration reads,
// and days ("7d") and weeks ("2w").
func ParseDuration(text string) (Duration, error) {
	bad := fmt.Errorf("%q: want blocks like 600b, or a time like 30m, 12h, 7d", text)
	if n, ok := strings.CutSuffix(text, "b"); ok {
		blocks, err := strconv.ParseUint(n, 10, 64)
		if err != nil || blocks == 0 {
			return Duration{}, bad
		}
		return Duration{Blocks: blocks}, nil
	}
	for suffix, day := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			count, err := strconv.ParseUint(n, 10, 16)
			if err != nil || count == 0 || count > 36_500 {
				return Duration{}, bad
			}
			return Duration{Time: time.Duration(count) * day}, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return Duration{}, bad
	}
	return Duration{Time: d}, nil
}
