package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/rpc"
)

// supplyJSON is the money at one height, in attoPDR.
type supplyJSON struct {
	Height   chain.Height `json:"height"`
	Minted   chain.Amount `json:"minted"`
	Accounts chain.Amount `json:"accounts"`
	Locked   chain.Amount `json:"locked"`
	Burned   chain.Amount `json:"burned"`
	Unissued chain.Amount `json:"unissued"`
	Emission chain.Amount `json:"emission"` // of the next block, at most
	AddsUp   bool         `json:"addsUp"`   // minted = accounts + locked + burned
}

// errSupply is the outcome of a sum that is wrong.
var errSupply = errors.New("the money does not add up")

// newStateSupply returns the command that sums the money.
func newStateSupply(g *globals) *cobra.Command {
	var height, since uint64
	cmd := &cobra.Command{
		Use: "supply [--height H | --since H]", Short: "Sum all money, now or at heights that the node keeps", Args: cobra.NoArgs,
		Long: `Sum all money, in attoPDR: minted = accounts + locked + burned. Accounts are free
money of accounts and miners; locked is that of orders, deals, pledge, deposits and
channels; unissued is what will still be minted, emission what the next block issues
of it at most. Exit code 1 if a sum is wrong.`,
		Example: "  perdure state supply\n  perdure state supply --since 1",
		RunE: func(cmd *cobra.Command, _ []string) error {
			node := g.plain()
			defer node.Close()
			given := cmd.Flags().Changed
			switch {
			case given("since"):
				return runSupplySince(cmd, g, node, since)
			case given("height"):
				return runSupply(cmd, g, node, fmt.Sprintf("/v1/supply?height=%d", height))
			}
			return runSupply(cmd, g, node, "/v1/supply")
		},
	}
	cmd.Flags().Uint64Var(&height, "height", 0, "the height to sum at; default: the newest")
	cmd.Flags().Uint64Var(&since, "since", 0, "sum at every height from this one to the newest")
	cmd.MarkFlagsMutuallyExclusive("height", "since")
	return cmd
}

func runSupply(cmd *cobra.Command, g *globals, node *rpc.Client, path string) error {
	s, err := readSupply(cmd.Context(), node, path)
	if err != nil {
		return err
	}
	if err := answer(cmd, g, s); err != nil {
		return err
	}
	if !s.AddsUp {
		return fmt.Errorf("height %d: %w", s.Height, errSupply)
	}
	return nil
}

// runSupplySince sums at every height up to the newest.
func runSupplySince(cmd *cobra.Command, g *globals, node *rpc.Client, since uint64) error {
	newest, err := readSupply(cmd.Context(), node, "/v1/supply")
	if err != nil {
		return err
	}
	if chain.Height(since) > newest.Height {
		return usage(fmt.Errorf("--since %d: the chain is at height %d", since, newest.Height))
	}
	var out struct {
		Heights []*supplyJSON `json:"heights"`
	}
	wrong := []chain.Height{}
	for h := chain.Height(since); h <= newest.Height; h++ {
		s, err := readSupply(cmd.Context(), node, fmt.Sprintf("/v1/supply?height=%d", h))
		if err != nil {
			return fmt.Errorf("height %d: %w", h, err)
		}
		if out.Heights = append(out.Heights, s); !s.AddsUp {
			wrong = append(wrong, h)
		}
	}
	if err := answer(cmd, g, out); err != nil {
		return err
	}
	if len(wrong) > 0 {
		return fmt.Errorf("heights %v: %w", wrong, errSupply)
	}
	return nil
}

func readSupply(ctx context.Context, node *rpc.Client, path string) (*supplyJSON, error) {
	s := new(supplyJSON)
	if err := node.JSON(ctx, path, s); err != nil {
		return nil, err
	}
	sums := chain.Supply{Minted: s.Minted, Burned: s.Burned, Accounts: s.Accounts, Locked: s.Locked}
	s.AddsUp = sums.Check() == nil
	return s, nil
}
