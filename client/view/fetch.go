package view

import (
	"encoding/hex"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/retrieval/p2p"
)

// Seller is what one seller had to do with a Get.
type Seller struct {
	Peer    string       `json:"peer"`
	Price   chain.Amount `json:"chunkPrice"`
	Chunks  uint64       `json:"chunks"`
	Bytes   uint64       `json:"bytes"`
	Dropped bool         `json:"dropped"`
	Error   string       `json:"error,omitempty"`
}

// Fetch is what get reports. Amounts are attoPDR.
type Fetch struct {
	RootCID    string       `json:"rootCid"`
	Kind       string       `json:"kind"`
	Size       uint64       `json:"size"`   // of the content
	Bytes      uint64       `json:"bytes"`  // of blocks fetched
	Chunks     uint64       `json:"chunks"` // that they came in
	ChunkPrice chain.Amount `json:"chunkPrice"`
	Paid       chain.Amount `json:"paid"`
	SHA256     string       `json:"sha256"`
	Seconds    float64      `json:"seconds"`
	Sellers    []Seller     `json:"sellers"`
}

// FetchOf gives the result of a Get its JSON form.
func FetchOf(r *client.GetResult) Fetch {
	out := Fetch{RootCID: r.Root.String(), Kind: string(r.Kind), Size: r.Size, Bytes: r.Bytes, Chunks: r.Chunks,
		ChunkPrice: r.ChunkPrice, Paid: r.Paid, SHA256: hex.EncodeToString(r.SHA256[:]), Seconds: r.Seconds, Sellers: []Seller{}}
	for _, s := range r.Sellers {
		out.Sellers = append(out.Sellers, Seller{p2p.FormatPeer(s.Peer), s.Price, s.Chunks, s.Bytes, s.Dropped, s.Err})
	}
	return out
}

// Transfer is one fetch. Amounts are attoPDR.
type Transfer struct {
	Number  uint64         `json:"number"`
	State   string         `json:"state"` // done, failed, or open: under way, or its process was killed
	RootCID string         `json:"rootCid"`
	Path    string         `json:"path,omitempty"`
	Bytes   uint64         `json:"bytes"`
	Chunks  uint64         `json:"chunks"`
	Paid    chain.Amount   `json:"paid"`
	Started time.Time      `json:"started"`
	Ended   *time.Time     `json:"ended,omitempty"`
	Error   string         `json:"error,omitempty"`
	Sellers []files.Seller `json:"sellers"`
}

// TransferOf gives the record of a fetch its JSON form.
func TransferOf(t *files.Transfer) Transfer {
	out := Transfer{Number: t.Number, State: "done", RootCID: t.Root, Path: t.Path, Bytes: t.Bytes, Chunks: t.Chunks, Paid: t.Paid,
		Started: t.Started, Error: t.Error, Sellers: []files.Seller{}}
	switch {
	case t.Ended.IsZero():
		out.State = "open"
	case t.Error != "":
		out.State = "failed"
	}
	if !t.Ended.IsZero() {
		out.Ended = &t.Ended
	}
	out.Sellers = append(out.Sellers, t.Sellers...)
	return out
}
