// Command gen writes the canonical encodings (cbor_gen.go) beside the nouns
// that travel or are stored. Run it from the module's root:
//
//	go run ./internal/gen
//
// .ci/run checks that running it changes nothing.
package main

import (
	"fmt"
	"os"

	gen "github.com/whyrusleeping/cbor-gen"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/chain/state/snapshot"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/retrieval"
)

// packages lists every generated file with its types, in the order of their tuples.
var packages = []struct {
	file, name string
	types      []any
}{
	{"chain/cbor_gen.go", "chain", []any{
		chain.Message{}, chain.SignedMessage{},
		chain.Account{}, chain.Transfer{},
		chain.Keys{}, chain.Peer{}, chain.CreateMiner{}, chain.UpdateMiner{}, chain.Budget{}, chain.Miner{},
		chain.SectorPiece{}, chain.PreCommit{}, chain.PreCommitSectors{}, chain.ProveCommit{},
		chain.SubmitWindowProof{}, chain.DeclareFaults{}, chain.DeclareRecoveries{},
		chain.TerminateSectors{}, chain.ExtendSectors{}, chain.Sector{}, chain.Partition{},
		chain.Renewal{}, chain.BidTerms{}, chain.PlaceBid{}, chain.AskTerms{}, chain.PlaceAsk{}, chain.CancelOrder{}, chain.ReplaceOrder{}, chain.Place{},
		chain.Succession{}, chain.Order{}, chain.Holder{}, chain.Copies{},
		chain.AcceptData{}, chain.SettleDeals{}, chain.SetRenewal{}, chain.Deal{},
		chain.Receipt{}, chain.SignedReceipt{}, chain.PublishReceipts{}, chain.Served{},
		chain.Voucher{}, chain.SignedVoucher{}, chain.OpenChannel{}, chain.TopUpChannel{}, chain.RedeemVoucher{},
		chain.SettleChannel{}, chain.CollectChannel{}, chain.Lane{}, chain.Channel{},
		chain.QueueHead{}, chain.QueueItem{}, chain.Cursor{}, chain.Beacon{}, chain.Empty{}, chain.Supply{}, chain.Issuance{},
		chain.ParamValue{}, chain.Propose{}, chain.Approve{}, chain.Proposal{}, chain.Upgrade{},
		chain.Validator{}, chain.VoteSet{}, chain.VoteKey{}, chain.Candidate{}, chain.Global{},
	}},
	{"chain/wallet/cbor_gen.go", "wallet", []any{wallet.Inclusion{}}},
	{"chain/consensus/cbor_gen.go", "consensus", []any{
		consensus.Params{}, consensus.Change{}, consensus.Event{}, consensus.Receipt{}, consensus.Update{},
	}},
	{"chain/state/proof/cbor_gen.go", "proof", []any{proof.Header{}, proof.Bundle{}}},
	{"chain/index/cbor_gen.go", "index", []any{index.Block{}, index.Message{}, index.Trade{}, index.Candle{}, index.Level{},
		index.Flows{}, index.Levels{}, index.Point{}, index.Now{}, index.Earned{}, index.Ledger{}, index.Entry{}, index.Balance{}, index.Votes{}, index.Amendment{}}},
	{"chain/state/snapshot/cbor_gen.go", "snapshot", []any{snapshot.Manifest{}}},
	{"retrieval/cbor_gen.go", "retrieval", []any{
		retrieval.Ask{}, retrieval.Offer{}, retrieval.Pay{}, retrieval.Standing{}, retrieval.Run{}, retrieval.Want{},
		retrieval.End{}, retrieval.Tick{}, retrieval.Cancel{}, retrieval.Bye{}, retrieval.Error{}, retrieval.Wait{},
	}},
}

func main() {
	for _, p := range packages {
		if err := gen.WriteTupleEncodersToFile(p.file, p.name, p.types...); err != nil {
			fmt.Fprintf(os.Stderr, "generate %s: %v\n", p.file, err)
			os.Exit(1)
		}
	}
}
