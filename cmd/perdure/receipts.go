package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/hints"
	"github.com/perdure/perdure/retrieval/receipts"
)

// newReceiptsCommand returns the group of commands about what buyers signed.
func newReceiptsCommand(g *globals) *cobra.Command {
	return newGroup("receipts", "Read and check what buyers signed for what a miner served",
		`Read and check what buyers signed for what a miner served. A miner publishes batches of
receipts on chain, each as one root, and shows them at its HTTP door to anybody.`,
		newReceiptsList(g), newReceiptsVerify(g), newReceiptsShow(g))
}

// receiptsFlags say whose receipts, and where they are shown.
type receiptsFlags struct{ door, root string }

// seenDoor is what the chain knows of a miner's receipts, and its door.
type seenDoor struct {
	receipts.Seen
	network chain.Network
	door    receipts.Reader
}

// look asks the node about a miner, and the miner's addresses for its door.
func (f *receiptsFlags) look(ctx context.Context, g *globals, text string) (*seenDoor, error) {
	id, err := chain.ParseMiner(text)
	if err != nil {
		return nil, usage(err)
	}
	node, err := g.dial()
	if err != nil {
		return nil, err
	}
	defer node.Close()
	p, err := node.Params(ctx)
	if err != nil {
		return nil, err
	}
	var m chain.Miner
	out := &seenDoor{network: p.Network}
	out.ChainID, out.Miner = p.ChainID, id
	ok, err := node.Record(ctx, chain.MinerKey(id), &m)
	if err == nil && !ok {
		err = fmt.Errorf("the chain %s has no miner %s", p.ChainID, text)
	}
	if err != nil {
		return nil, err
	}
	if _, err := node.Record(ctx, chain.ServedKey(id), &out.Served); err != nil {
		return nil, err
	}
	if out.door.URL = f.door; f.door == "" {
		doors := hints.Doors(m.Peer)
		if len(doors) == 0 {
			return nil, fmt.Errorf("miner %s has no HTTP door on chain: give --door", text)
		}
		out.door.URL = doors[0]
	}
	return out, nil
}

// batch chooses the batch with a root among all that the chain saw.
func (s *seenDoor) batch(ctx context.Context, root string) (receipts.Batch, error) {
	all, err := s.door.Batches(ctx, &s.Seen)
	if err != nil {
		return receipts.Batch{}, err
	}
	i := slices.IndexFunc(all, func(b receipts.Batch) bool { return strings.EqualFold(b.Root, root) })
	if i < 0 {
		return receipts.Batch{}, fmt.Errorf("miner published no batch with root %s", root)
	}
	return all[i], nil
}

// newReceiptsList returns the command that lists batches.
func newReceiptsList(g *globals) *cobra.Command {
	var f receiptsFlags
	cmd := &cobra.Command{
		Use: "list MINER", Short: "List the batches that a miner published, checked against the chain", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.look(cmd.Context(), g, args[0])
			if err != nil {
				return err
			}
			all, err := s.door.Batches(cmd.Context(), &s.Seen)
			if err != nil {
				return err
			}
			return answer(cmd, g, map[string]any{"items": all})
		},
	}
	f.add(cmd)
	return cmd
}

func (f *receiptsFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.door, "door", "", "URL of the miner's door (default the one on chain)")
}

// buyerRow is what one buyer signed.
type buyerRow struct {
	Buyer    string `json:"buyer"`
	Receipts uint64 `json:"receipts"`
	Bytes    uint64 `json:"bytes"`
}

// verified is the answer of receipts verify.
type verified struct {
	Miner    string     `json:"miner"`
	Batches  uint64     `json:"batches"`
	Receipts uint64     `json:"receipts"`
	Bytes    uint64     `json:"bytes"`
	Gone     uint64     `json:"gone,omitempty"` // receipts that were published and are not shown any more
	Buyers   []buyerRow `json:"buyers"`
}

// newReceiptsVerify returns the command that checks batches whole.
func newReceiptsVerify(g *globals) *cobra.Command {
	var f receiptsFlags
	cmd := &cobra.Command{
		Use: "verify MINER [--root HEX]", Short: "Read a miner's receipts and check all of them", Args: cobra.ExactArgs(1),
		Long: `Read the receipts of a miner, of one batch or of all, and check everything that can be: that the
batches are those which the chain saw, none missing, added or changed; that the receipts are those of
their roots, each once; and each buyer's signature. The sums are shown by buyer.

What holds then is that holders of those keys said so, before anybody asked. A miner can sign with
keys of its own: whether a buyer is one that you know, has deals or pays from channels is yours to
judge. Transfers that broke off, and buyers that do not sign, are missing. Of old batches a miner may
keep the roots alone: their receipts are counted as gone, and not as checked.`,
		RunE: func(cmd *cobra.Command, args []string) error { return runReceiptsVerify(cmd, g, args[0], f) },
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.root, "root", "", "root of one batch (default all)")
	return cmd
}

func runReceiptsVerify(cmd *cobra.Command, g *globals, miner string, f receiptsFlags) error {
	ctx := cmd.Context()
	s, err := f.look(ctx, g, miner)
	if err != nil {
		return err
	}
	batches, err := s.door.Batches(ctx, &s.Seen)
	if f.root != "" && err == nil {
		var one receipts.Batch
		one, err = s.batch(ctx, f.root)
		batches = []receipts.Batch{one}
	}
	if err != nil {
		return err
	}
	out := &verified{Miner: miner, Batches: uint64(len(batches)), Buyers: []buyerRow{}}
	for _, b := range batches {
		all, err := s.door.Receipts(ctx, &s.Seen, b)
		if errors.Is(err, receipts.ErrGone) && f.root == "" {
			out.Gone += b.Count
			continue
		}
		if err != nil {
			return err
		}
		for i := range all {
			out.add(chain.FormatAddress(all[i].Receipt.Buyer, s.network), all[i].Receipt.Bytes)
		}
	}
	return answer(cmd, g, out)
}

// add counts a receipt.
func (v *verified) add(buyer string, bytes uint64) {
	i := slices.IndexFunc(v.Buyers, func(b buyerRow) bool { return b.Buyer == buyer })
	if i < 0 {
		v.Buyers = append(v.Buyers, buyerRow{Buyer: buyer})
		i = len(v.Buyers) - 1
	}
	v.Buyers[i].Receipts++
	v.Buyers[i].Bytes += bytes
	v.Receipts++
	v.Bytes += bytes
}

// shownReceipt is one receipt for people and programs.
type shownReceipt struct {
	Miner   string       `json:"miner"`
	Deal    uint64       `json:"deal"` // 0: of none that the buyer knew
	Buyer   string       `json:"buyer"`
	Nonce   uint64       `json:"nonce"`
	Bytes   uint64       `json:"bytes"`
	From    chain.Height `json:"from"`
	To      chain.Height `json:"to"`
	Encoded string       `json:"encoded"` // SignedReceipt, base64
}

// newReceiptsShow returns the command that checks one receipt by its path.
func newReceiptsShow(g *globals) *cobra.Command {
	var f receiptsFlags
	var index uint64
	cmd := &cobra.Command{
		Use: "show MINER --root HEX --index N", Short: "Read one receipt and check its path to the published root", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.look(cmd.Context(), g, args[0])
			if err != nil {
				return err
			}
			b, err := s.batch(cmd.Context(), f.root)
			if err != nil {
				return err
			}
			r, err := s.door.Receipt(cmd.Context(), &s.Seen, b, index)
			if err != nil {
				return err
			}
			raw, err := chain.Encode(r)
			if err != nil {
				return err
			}
			of := &r.Receipt
			return answer(cmd, g, shownReceipt{args[0], of.Deal, chain.FormatAddress(of.Buyer, s.network), of.Nonce, of.Bytes, of.From, of.To,
				base64.StdEncoding.EncodeToString(raw)})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.root, "root", "", "root of the batch")
	cmd.Flags().Uint64Var(&index, "index", 0, "number of the receipt in the batch, from 0")
	require(cmd, "root")
	return cmd
}
