package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/deals"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval/buyer"
)

var update = flag.Bool("update", false, "write testdata/forms.json anew")

const golden = "testdata/forms.json"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var (
	root   = must(cid.Decode("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"))
	someID = must(peer.Decode("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"))
	seller = string(someID)
	payee  = must(chain.AddressOfKey(bytes.Repeat([]byte{7}, chain.PrivateKeySize)))
	began  = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
)

// object has a copy in each state that shows something of its own.
func object() *files.Object {
	deal := func(id uint64, state chain.DealState) files.Deal {
		return files.Deal{ID: id, Miner: 1000, State: state.String(), Price: chain.Atto(5), Total: chain.Atto(50), FetchBy: 70, ActivateBy: 80, ActiveAt: 60, End: 90}
	}
	return &files.Object{Number: 3, Created: began, Root: root.String(), Kind: "file", Name: "a.txt", Size: 10, SHA256: []byte{1, 2}, Key: "secret", PayloadSize: 100,
		Client: "t1abc", Copies: 3, Duration: 600, MaxPrice: chain.Atto(9), Regions: []string{"eu"}, Renew: &files.Renew{Count: 2, MaxPrice: chain.Atto(9)},
		Pieces: []files.Piece{{CID: "baga", PaddedSize: 256, PayloadSize: 200, Bid: files.Bid{Order: 7},
			Deals: []files.Deal{deal(1, chain.DealMatched), deal(2, chain.DealAccepted), deal(3, chain.DealActive)}}}}
}

// forms are one of each, by name.
func forms(t *testing.T) map[string]any {
	t.Helper()
	ch := chain.Channel{ID: 4, Payee: payee, Balance: chain.Atto(8), Redeemed: chain.Atto(2), Opened: 11}
	settling := ch
	settling.SettleAt = 99
	transfers := []*files.Transfer{
		{Number: 1, Started: began, Ended: began.Add(time.Second), Root: "bafy1", Bytes: 10, Chunks: 1, Paid: chain.Atto(3),
			Sellers: []files.Seller{{Peer: "p", Miner: "t01000", Bytes: 10, Chunks: 1, Paid: chain.Atto(3)}, {Peer: "q", Fault: "it lied"}}},
		{Number: 2, Started: began, Ended: began.Add(time.Second), Root: "bafy2", Path: "x", Bytes: 20, Chunks: 2, Paid: chain.Atto(6), Error: "it broke off",
			Sellers: []files.Seller{{Peer: "p", Bytes: 20, Chunks: 2, Paid: chain.Atto(6)}}},
		{Number: 3, Started: began, Root: "bafy1"},
	}
	funds, err := FundsOf(&client.Funds{Address: payee, Network: chain.Testnet, Height: 50, Account: chain.Atto(100), Locked: chain.Atto(20), Total: chain.Atto(120),
		Channels: []client.ChannelFunds{{Channel: ch, Promised: chain.Atto(1), Known: true}, {Channel: settling, Ahead: true}},
		Orders:   []client.LockedFunds{{ID: 5, Root: "bafy1", Amount: chain.Atto(12)}}}, transfers)
	if err != nil {
		t.Fatal(err)
	}
	quote := &client.Quote{Root: root, PayloadSize: 100, Copies: 2, Pieces: []pack.Piece{
		{Info: piece.Info{CID: root, PaddedSize: 256, PayloadSize: 200}}, {Info: piece.Info{PaddedSize: 512}}}}
	priced := &client.Quote{PayloadSize: 100, Copies: 2, Duration: 600, Contents: []*client.Quote{{Name: "a", Root: root, Size: 1, PayloadSize: 2}},
		Market: &deals.Quote{Price: chain.Atto(1), Fees: chain.Atto(2), Deposits: chain.Atto(3), Total: chain.Atto(6), MaxPrice: chain.Atto(9), Missing: 1, Asks: 4, Ahead: 5, Deals: 6}}
	return map[string]any{
		"object": ObjectOf(object()), "channel": ChannelOf(&ch, chain.Testnet), "settling": ChannelOf(&settling, chain.Testnet), "funds": funds,
		"status": StatusOf(&client.ObjectStatus{Object: &files.Object{Root: "bafy1"}, Copies: []client.CopyStatus{{PieceCID: "baga", State: "bid", Deadline: 70, Left: 1.5}},
			Next: "waits for miners", Warnings: []string{"soon"}}),
		"shared piece": StatusOf(&client.ObjectStatus{Object: &files.Object{Root: "bafy3", Kind: files.KindBatch},
			Holds: []*files.Object{{Root: "bafy1", Name: "a"}, {Root: "bafy2", Name: "b"}}}),
		"quote without a node": QuoteOf(quote), "quote": QuoteOf(priced),
		"transfers": []Transfer{TransferOf(transfers[0]), TransferOf(transfers[1]), TransferOf(transfers[2])},
		"fetch": FetchOf(&client.GetResult{Root: root, Kind: pack.KindFile, Size: 10, Bytes: 12, Chunks: 1, ChunkPrice: chain.Atto(3), Paid: chain.Atto(3), Seconds: 0.5,
			Sellers: []buyer.SellerStats{{Peer: seller, Price: chain.Atto(3), Chunks: 1, Bytes: 12, Dropped: true, Err: "it lied"}}}),
		"deposit": DepositOf(&client.DepositResult{Network: chain.Testnet, Channels: []client.Deposited{{Channel: 4, Payee: payee, Amount: chain.Atto(8), Opened: true}},
			Skipped: []client.Unfunded{{Peer: seller, Err: errors.New("it is free")}}}),
		"withdrawn": WithdrawnOf([]client.Withdrawn{{Channel: 4, Balance: chain.Atto(8), SettleAt: 99}, {Channel: 5}}),
	}
}

// TestForms holds the forms against those that programs know. They never name a key.
func TestForms(t *testing.T) {
	got, err := json.MarshalIndent(forms(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the forms are not those of %s (-update writes it anew):\n%s", golden, got)
	}
	if bytes.Contains(got, []byte("secret")) {
		t.Error("a key is shown")
	}
}
