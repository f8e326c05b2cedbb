package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
)

// replaceOptions are the flags of market replace.
type replaceOptions struct {
	copies, expiry uint64
	capacity       size
}

// newMarketReplace returns the command that reduces an order.
func newMarketReplace(g *globals) *cobra.Command {
	var o replaceOptions
	cmd := &cobra.Command{
		Use: "replace ORDER [--copies N | --capacity SIZE] [--expiry HEIGHT]", Short: "Reduce an order that keeps its place in the book",
		Long: `Make an order ask for fewer copies, offer less capacity or end sooner. It keeps its place
in the book, and what it locked for the rest is repaid. Copies that have matched and
bytes that are sold count: a bid for 5 copies of which 2 have matched still asks for 1
after --copies 3. For any other change, and to ask for or offer more, cancel the
order and place another, which stands behind those that are there.`,
		Example: "  perdure market replace 17 --capacity 1TiB",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runMarketReplace(cmd, g, args[0], o) },
	}
	f := cmd.Flags()
	f.Uint64Var(&o.copies, "copies", 0, "copies that a bid asks for in all")
	f.Var(&o.capacity, "capacity", "padded bytes that an ask offers in all")
	f.Uint64Var(&o.expiry, "expiry", 0, "last height at which the order may match")
	return cmd
}

func runMarketReplace(cmd *cobra.Command, g *globals, order string, o replaceOptions) error {
	id, err := strconv.ParseUint(order, 10, 63)
	if err != nil {
		return usage(fmt.Errorf("order %q: want a number", order))
	}
	if o == (replaceOptions{}) {
		return usage(errors.New("nothing to reduce: want --copies, --capacity or --expiry"))
	}
	return send(cmd, g, &chain.ReplaceOrder{Order: id, Copies: o.copies, Capacity: uint64(o.capacity), Expiry: chain.Height(o.expiry)})
}
