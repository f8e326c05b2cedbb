package main

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
)

// newMarketCommand returns the group of commands about the order book.
func newMarketCommand(g *globals) *cobra.Command {
	return newGroup("market", "Read and trade in the order book",
		`Read and trade in the order book. Prices are attoPDR per GiB (padded) per block; a
deal costs price x padded size x duration / 2^30, rounded up.`,
		newMarketBook(g), newMarketBid(g), newMarketAsk(g), newMarketReplace(g), newMarketCancel(g), newMarketDeals(g),
		newMarketTrades(g), newMarketTicker(g), newMarketCandles(g), newMarketPrices(g))
}

// newMarketBook returns the command that shows the order book.
func newMarketBook(g *globals) *cobra.Command {
	var depth uint64
	cmd := &cobra.Command{
		Use: "book [--depth N]", Short: "Show the order book", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(cmd, g, fmt.Sprintf("/v1/market/book?depth=%d", depth))
		},
	}
	cmd.Flags().Uint64Var(&depth, "depth", 20, "prices of each side that are shown")
	return cmd
}

// dealsOptions are the flags of market deals.
type dealsOptions struct {
	root, piece, miner, client, state string
	limit                             uint64
}

// newMarketDeals returns the command that lists deals.
func newMarketDeals(g *globals) *cobra.Command {
	var o dealsOptions
	cmd := &cobra.Command{
		Use: "deals [--root CID] [--piece CID] [--miner ID] [--client ADDRESS] [--state STATE]", Short: "List deals", Args: cobra.NoArgs,
		Long: `List deals: of a payload, of a piece, of a miner, of a client; --state is matched, accepted,
active, completed, void or lost. A bid of several copies makes a deal for each. Behind the deals
of a root come those over pieces that their miners say hold it among others (claimed).`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(cmd, g, "/v1/deals?"+o.query(), "id", "state", "miner", "client", "part", "parts", "paddedSize", "price", "total", "unspent", "activated", "end", "sector", "payloadRoot", "claimed")
		},
	}
	cmd.Flags().StringVar(&o.root, "root", "", "root CID of the payload")
	cmd.Flags().StringVar(&o.piece, "piece", "", "CID of the piece")
	cmd.Flags().StringVar(&o.miner, "miner", "", "miner, like t01000")
	cmd.Flags().StringVar(&o.client, "client", "", "address that pays")
	cmd.Flags().StringVar(&o.state, "state", "", "state of the deals")
	cmd.Flags().Uint64Var(&o.limit, "limit", 100, "deals shown at most")
	return cmd
}

func (o *dealsOptions) query() string {
	q := url.Values{"limit": {strconv.FormatUint(o.limit, 10)}}
	for name, v := range map[string]string{"root": o.root, "piece": o.piece, "miner": o.miner, "client": o.client, "state": o.state} {
		if v != "" {
			q.Set(name, v)
		}
	}
	return q.Encode()
}

// newMarketCancel returns the command that cancels an order.
func newMarketCancel(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "cancel ORDER", Short: "Take an order out of the book", Args: cobra.ExactArgs(1),
		Long: `Take what is left of an order out of the book and get back what it locked. Deals
already made from it go on. A miner's ask is cancelled by its worker or owner.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 63)
			if err != nil {
				return usage(fmt.Errorf("order %q: want a number", args[0]))
			}
			return send(cmd, g, &chain.CancelOrder{Order: id})
		},
	}
}

// amount is a flag of money.
type amount chain.Amount

// String implements pflag.Value.
func (a *amount) String() string { return chain.Amount(*a).String() }

// Type implements pflag.Value.
func (a *amount) Type() string { return "amount" }

// Set implements pflag.Value.
func (a *amount) Set(s string) error {
	v, err := chain.ParseAmount(s)
	*a = amount(v)
	return err
}

// size is a flag of bytes, like 8MiB.
type size uint64

// String implements pflag.Value.
func (s *size) String() string { return chain.FormatSize(uint64(*s)) }

// Type implements pflag.Value.
func (s *size) Type() string { return "size" }

// Set implements pflag.Value.
func (s *size) Set(text string) error {
	v, err := chain.ParseSize(text)
	*s = size(v)
	return err
}
