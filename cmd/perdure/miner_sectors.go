package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner/daemon"
)

var (
	sectorColumns  = []string{"number", "state", "sectorSize", "preCommitted", "activated", "expiration", "deadline", "partition", "slot", "paidThrough", "sealedCid"}
	sealingColumns = []string{"number", "state", "step", "percent", "rate", "eta", "activated", "expiration", "deadline", "partition", "note"}
)

// newMinerSectors returns the command that lists a miner's sectors.
func newMinerSectors(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "sectors [ID]", Short: "List the miner's sectors", Args: cobra.MaximumNArgs(1),
		Long: `List the miner's sectors as the chain has them. Without an ID it is the miner of
--home. If that runs, its sectors on their way to the chain are listed too, with the
step of sealing that they are in, how much of it is done (percent), its rate in nodes of
32 bytes a second and the time left of it (eta). A note says why a sector waits for the
limits of [sealing] in config.toml, or what problem it is parked with; parked work is
tried again.`,
		RunE: func(cmd *cobra.Command, args []string) error { return runMinerSectors(cmd, g, args) },
	}
}

func runMinerSectors(cmd *cobra.Command, g *globals, args []string) error {
	id, err := chooseMiner(g, args)
	if err != nil {
		return err
	}
	path := "/v1/miners/" + chain.FormatMiner(id, chain.Testnet) + "/sectors"
	if len(args) == 1 {
		return ask(cmd, g, path, sectorColumns...)
	}
	own, running, err := daemon.RunningSectors(cmd.Context(), g.Home)
	if err != nil {
		return err
	}
	if !running {
		return ask(cmd, g, path, sectorColumns...)
	}
	list, err := sectorsOnChain(cmd.Context(), g, path)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(list.with(own))
	if err != nil {
		return err
	}
	return show(cmd, g, raw, sealingColumns...)
}

// sectorList is the node's answer about a miner's sectors.
type sectorList map[string]any

func sectorsOnChain(ctx context.Context, g *globals, path string) (sectorList, error) {
	node, err := g.dial()
	if err != nil {
		return nil, err
	}
	defer node.Close()
	var raw json.RawMessage
	if err := node.JSON(ctx, path, &raw); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	list := sectorList{}
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("read the node's answer: %w", err)
	}
	return list, nil
}

// with adds what the miner itself says of its sectors to those that the chain
// has, and those that the chain has not yet. Sectors that have ended are left to
// the chain.
func (l sectorList) with(own []daemon.SectorInfo) sectorList {
	items, _ := l["items"].([]any)
	rows := map[string]map[string]any{}
	for _, item := range items {
		if row, ok := item.(map[string]any); ok {
			rows[fmt.Sprint(row["number"])] = row
		}
	}
	for i := range own {
		row, known := rows[strconv.FormatUint(own[i].Number, 10)]
		if !known {
			if !own[i].State.Sealing() {
				continue
			}
			row = map[string]any{"number": own[i].Number, "state": own[i].State}
			items = append(items, row)
		}
		addSealing(row, &own[i])
	}
	slices.SortStableFunc(items, func(a, b any) int { return numberOf(a) - numberOf(b) })
	l["items"] = items
	return l
}

// addSealing adds to a row what is known of the sector's sealing.
func addSealing(row map[string]any, s *daemon.SectorInfo) {
	if s.Step != "" {
		row["step"], row["done"], row["total"], row["percent"] = s.Step, s.Done, s.Total, s.Percent
	}
	if s.ETA != "" {
		row["rate"], row["eta"] = s.Rate, s.ETA
	}
	for key, text := range map[string]string{"waiting": s.Waiting, "problem": s.Problem} {
		if text != "" {
			row[key], row["note"] = text, text
		}
	}
}

func numberOf(item any) int {
	row, _ := item.(map[string]any)
	n, err := strconv.Atoi(fmt.Sprint(row["number"]))
	if err != nil {
		return 0
	}
	return n
}
