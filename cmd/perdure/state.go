package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state/proof"
)

// stateKeys is the help about keys.
const stateKeys = `TABLE and KEY are: global; account ADDRESS; miner t01000; sector t01000/NUMBER;
partition t01000/DEADLINE/INDEX; order, deal, channel or beacon NUMBER (beacon: a
height); queue or replay HEX.`

// newStateCommand returns the group of commands that read the chain's state.
func newStateCommand(g *globals) *cobra.Command {
	return newGroup("state", "Read records of the chain's state, with proofs", stateKeys,
		newStateGet(g), newStateProof(g), newStateVerify(g), newStateSupply(g), newStateParameters(g))
}

// parseStateKey reads TABLE and KEY.
func parseStateKey(args []string) (chain.Key, error) {
	table, ok := chain.ParseTable(args[0])
	if !ok {
		return chain.Key{}, usage(fmt.Errorf("unknown table %q; see perdure state --help", args[0]))
	}
	k, err := chain.ParseKey(table, append(args, "")[1])
	if err != nil {
		return k, usage(err)
	}
	return k, nil
}

func statePath(k chain.Key) string {
	return "/v1/state/" + k.Table.String() + "/" + hex.EncodeToString([]byte(k.ID))
}

// newStateGet returns the command that shows a record.
func newStateGet(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "get TABLE [KEY]", Short: "Show a record of the newest state", Args: cobra.RangeArgs(1, 2),
		Long: "Show a record of the newest state.\n\n" + stateKeys, Example: "  perdure state get sector t01000/1",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := parseStateKey(args)
			if err != nil {
				return err
			}
			return ask(cmd, g, statePath(k))
		},
	}
}

// proofJSON is a proof that was fetched or checked.
type proofJSON struct {
	Table   string       `json:"table"`
	Key     string       `json:"key"`
	Exists  bool         `json:"exists"` // the proof shows a record; otherwise that there is none
	Height  chain.Height `json:"height,omitempty"`
	AppHash string       `json:"appHash"`
	CBOR    string       `json:"cbor,omitempty"` // the record, hexadecimal
	Bytes   int          `json:"bytes"`          // of the proof
	File    string       `json:"file,omitempty"`
}

// newStateProof returns the command that fetches a proof.
func newStateProof(g *globals) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "proof TABLE [KEY] -o FILE", Short: "Fetch and check the proof of a record, or of its absence", Args: cobra.RangeArgs(1, 2),
		Long: `Fetch the proof of a record of the newest state, or that there is none, check it and
write it to FILE: a CAR of the blocks from the app hash to the record. The app hash
of a height stands in the header of the block after it.

` + stateKeys,
		RunE: func(cmd *cobra.Command, args []string) error { return runStateProof(cmd, g, args, out) },
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file of the proof, - for standard output")
	require(cmd, "output")
	return cmd
}

func runStateProof(cmd *cobra.Command, g *globals, args []string, out string) error {
	k, err := parseStateKey(args)
	if err != nil {
		return err
	}
	if out == "-" && g.JSON {
		return usage(errors.New("standard output is either the proof or, with --json, the answer"))
	}
	node := g.dial()
	defer node.Close()
	var got struct {
		Height  chain.Height `json:"height"`
		AppHash string       `json:"appHash"`
		CBOR    []byte       `json:"cbor"`
		Proof   []byte       `json:"proof"`
	}
	if err := node.JSON(cmd.Context(), statePath(k)+"?proof=true", &got); err != nil {
		return err
	}
	checked, err := checkProof(k, got.Proof, got.AppHash)
	if err != nil {
		return fmt.Errorf("the node's proof: %w", err)
	}
	if checked.CBOR != hex.EncodeToString(got.CBOR) {
		return errors.New("the node's proof shows another record than its answer")
	}
	checked.Height, checked.File = got.Height, out
	if err := writeOutput(cmd, out, func(w io.Writer) error { _, err := w.Write(got.Proof); return err }); err != nil {
		return err
	}
	if out == "-" {
		return nil
	}
	return answer(cmd, g, checked)
}

// checkProof says what a proof shows under an app hash.
func checkProof(k chain.Key, car []byte, appHash string) (*proofJSON, error) {
	top, err := hex.DecodeString(appHash)
	if err != nil {
		return nil, fmt.Errorf("app hash: %w", err)
	}
	record, err := proof.Verify(car, top, k)
	if err != nil {
		return nil, err
	}
	return &proofJSON{Table: k.Table.String(), Key: hex.EncodeToString([]byte(k.ID)), Exists: record != nil,
		AppHash: appHash, CBOR: hex.EncodeToString(record), Bytes: len(car)}, nil
}

// newStateVerify returns the command that checks a proof without a node.
func newStateVerify(g *globals) *cobra.Command {
	var appHash string
	cmd := &cobra.Command{
		Use: "verify FILE TABLE [KEY] --app-hash HEX", Short: "Check a proof without a node", Args: cobra.RangeArgs(2, 3),
		Long: "Check a proof that perdure state proof wrote against an app hash that you trust.\nExit code 1 if it proves nothing.\n\n" + stateKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := parseStateKey(args[1:])
			if err != nil {
				return err
			}
			in, err := openInput(cmd, args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			var car bytes.Buffer
			if _, err := io.Copy(&car, io.LimitReader(in, proof.MaxBytes+1)); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			checked, err := checkProof(k, car.Bytes(), appHash)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return answer(cmd, g, checked)
		},
	}
	cmd.Flags().StringVar(&appHash, "app-hash", "", "app hash, in hexadecimal")
	require(cmd, "app-hash")
	return cmd
}
