package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// newGovernCommand returns the group of commands by which voters change parameters.
func newGovernCommand(g *globals) *cobra.Command {
	return newGroup("govern", "Propose and approve changes of parameters and rules", `Propose and approve changes of the network's parameters, and announce later versions of
its rules. More than two thirds of the votes must approve, two vote epochs before the
change takes effect. The reward address speaks for the votes of a genesis validator, a
miner's owner for those of a storage validator: give it with --from.`,
		newGovernList(g), newGovernPropose(g), newGovernApprove(g))
}

// newGovernList returns the command that lists proposals.
func newGovernList(g *globals) *cobra.Command {
	var limit uint64
	cmd := &cobra.Command{
		Use: "list [--limit N]", Short: "List the proposals that wait, newest first, and the parameters that may change", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(cmd, g, fmt.Sprintf("/v1/proposals?sortDesc=true&limit=%d", limit), "id", "placed", "effective", "adopted", "values", "ruleVersion")
		},
	}
	cmd.Flags().Uint64Var(&limit, "limit", 100, "proposals shown at most")
	return cmd
}

// newGovernPropose returns the command that puts a change up for approval.
func newGovernPropose(g *globals) *cobra.Command {
	var set []string
	var rules, effective uint64
	cmd := &cobra.Command{
		Use: "propose --effective HEIGHT (--set NAME=VALUE... | --rules VERSION)", Short: "Propose a change, and approve it", Args: cobra.NoArgs,
		Long: `Propose other parameters, or a later version of the rules, from the height --effective
on, and approve it by that. A value may change by a factor of four at most, within the
bounds that genesis is held to, and not so that a cheat pays: perdure state parameters
shows the margins.`,
		Example: "  perdure govern propose --set faultFee=0.08PDR --set sectorPledge=8PDR --effective 120000\n" +
			"  perdure govern propose --rules 2 --effective 200000",
		RunE: func(cmd *cobra.Command, _ []string) error {
			values, err := paramValues(set)
			if err != nil {
				return usage(err)
			}
			return send(cmd, g, &chain.Propose{Values: values, RuleVersion: rules, Effective: chain.Height(effective)})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&set, "set", nil, "NAME=VALUE: a parameter as state parameters names it, and a number or an amount of attoPDR or PDR")
	f.Uint64Var(&rules, "rules", 0, "version of the rules")
	f.Uint64Var(&effective, "effective", 0, "first height with the change")
	cmd.MarkFlagsOneRequired("set", "rules")
	cmd.MarkFlagsMutuallyExclusive("set", "rules")
	require(cmd, "effective")
	return cmd
}

// paramValues reads NAME=VALUE.
func paramValues(set []string) ([]chain.ParamValue, error) {
	var out []chain.ParamValue
	for _, text := range set {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("--set %q: want NAME=VALUE", text)
		}
		v, err := chain.ParseAmount(value)
		if err != nil {
			return nil, fmt.Errorf("--set %s: %w", name, err)
		}
		if !slices.Contains(consensus.Amendable(), name) {
			return nil, fmt.Errorf("--set %s: no parameter that may change; these may: %s", name, strings.Join(consensus.Amendable(), ", "))
		}
		out = append(out, chain.ParamValue{Name: name, Value: v})
	}
	return out, nil
}

// newGovernApprove returns the command that approves a proposal.
func newGovernApprove(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "approve PROPOSAL", Short: "Approve a proposal with the votes of --from", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return usage(fmt.Errorf("proposal %q: want a number", args[0]))
			}
			return send(cmd, g, &chain.Approve{Proposal: id})
		},
	}
}
