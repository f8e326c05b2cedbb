package main

import (
	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/node"
)

// parametersJSON is what state parameters answers.
type parametersJSON struct {
	Parameters []consensus.Parameter `json:"parameters"`
	Margins    []marginJSON          `json:"margins"`
}

// marginJSON is an inequality with its result, in attoPDR.
type marginJSON struct {
	consensus.Margin
	Result string `json:"margin"` // penalty x detection - gain; may be negative
	Holds  bool   `json:"holds"`
}

// marginRow is an inequality for people, amounts in PDR.
type marginRow struct {
	Name    string `json:"margin of"`
	Unit    string `json:"per"`
	Gain    string `json:"gain"`
	Penalty string `json:"penalty"`
	Chance  uint64 `json:"chance %"`
	Margin  string `json:"margin"`
	Holds   string `json:"holds"`
}

// newStateParameters returns the command that shows the parameters and what they are worth.
func newStateParameters(g *globals) *cobra.Command {
	var network string
	cmd := &cobra.Command{
		Use: "parameters [--network NAME]", Short: "Show the network's parameters and the margins of its deposits", Args: cobra.NoArgs,
		Long: `Show the parameters of the network of --node with their units, and for every
deposit, fee and charge its inequality: what a cheat gains at most, what it loses,
how certain that is, and what is left (margin = penalty x chance - gain). Rows of
honest actors compare loss and income. docs/economics.md derives each row.
With --network the parameters that a new network of that name starts with.`,
		Example: "  perdure state parameters --network mainnet",
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := parametersOf(cmd, g, network)
			if err != nil {
				return err
			}
			return showParameters(cmd, g, p)
		},
	}
	cmd.Flags().StringVar(&network, "network", "", "devnet, testnet or mainnet instead of the node's")
	return cmd
}

func parametersOf(cmd *cobra.Command, g *globals, network string) (*consensus.Params, error) {
	if network != "" {
		p, err := node.NetworkParams(network, network)
		if err != nil {
			return nil, usage(err)
		}
		return &p, nil
	}
	n, err := g.dial()
	if err != nil {
		return nil, err
	}
	defer n.Close()
	return n.Params(cmd.Context())
}

func showParameters(cmd *cobra.Command, g *globals, p *consensus.Params) error {
	sheet, err := p.Sheet()
	if err != nil {
		return err
	}
	margins, err := consensus.Margins(p)
	if err != nil {
		return err
	}
	out := parametersJSON{Parameters: sheet}
	var rows []marginRow
	for _, m := range margins {
		out.Margins = append(out.Margins, marginJSON{m, m.Left().String(), m.Holds()})
		rows = append(rows, marginRow{m.Name, m.Unit, m.Gain.Human(), m.Penalty.Human(), m.Detection, signed(&m), yes(m.Holds())})
	}
	if g.JSON {
		return answer(cmd, g, out)
	}
	return answer(cmd, g, struct {
		Parameters []consensus.Parameter `json:"parameters"`
		Margins    []marginRow           `json:"margins"`
	}{sheet, rows})
}

// signed is a margin in PDR.
func signed(m *consensus.Margin) string {
	left := m.Left()
	sign := ""
	if left.Sign() < 0 {
		sign = "-"
	}
	a, err := chain.AmountFromBig(left.Abs(left))
	if err != nil {
		return sign + left.String() + " attoPDR"
	}
	return sign + a.Human()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
