package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/rpc/light"
)

// stateKeys is the help about keys.
const stateKeys = `PATH is global, account/ADDRESS, miner/t01000, sector/t01000/NUMBER,
partition/t01000/DEADLINE/INDEX, order/NUMBER, deal/NUMBER, channel/NUMBER,
beacon/HEIGHT, queue/HEIGHT/QUEUE/INDEX (chain/SPEC.md) or replay/HEX. It may be given
as table and key, too: miner t01000.`

// newStateCommand returns the group of commands that read the chain's state.
func newStateCommand(g *globals) *cobra.Command {
	return newGroup("state", "Read records of the chain's state, with proofs", stateKeys,
		newStateGet(g), newStateProof(g), newStateVerify(g), newStateSupply(g), newStateParameters(g))
}

// parseStateKey reads PATH, or a table and a key.
func parseStateKey(args []string) (chain.Key, error) {
	path := args[0]
	if len(args) > 1 {
		path += "/" + args[1]
	}
	k, err := chain.ParsePath(path)
	if err != nil {
		return k, usage(fmt.Errorf("%w; see perdure state --help", err))
	}
	return k, nil
}

func statePath(k chain.Key) string {
	return "/v1/state/" + k.Table.String() + "/" + hex.EncodeToString([]byte(k.ID))
}

// newStateGet returns the command that shows a record.
func newStateGet(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "get PATH", Short: "Show a record of the newest state", Args: cobra.RangeArgs(1, 2),
		Long:    "Show a record of the newest state. With --light it is proven.\n\n" + stateKeys,
		Example: "  perdure state get sector/t01000/1",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := parseStateKey(args)
			if err != nil {
				return err
			}
			node, err := g.dial()
			if err != nil {
				return err
			}
			defer node.Close()
			verified, ok := node.(*light.Node)
			if !ok {
				return ask(cmd, g, statePath(k))
			}
			shown, err := verified.Show(cmd.Context(), k)
			if err != nil {
				return err
			}
			return answerShown(cmd, g, shown)
		},
	}
}

// shownJSON is what a proof shows.
type shownJSON struct {
	Path    string         `json:"path"`
	Exists  bool           `json:"exists"`            // the proof shows a record; otherwise that there is none
	Value   map[string]any `json:"value,omitempty"`   // the record, readable
	CBOR    string         `json:"cbor,omitempty"`    // the record, hexadecimal
	ChainID string         `json:"chainId,omitempty"` // by the header
	Height  chain.Height   `json:"height,omitempty"`  // of the state
	AppHash string         `json:"appHash"`
	Header  string         `json:"header,omitempty"` // HEIGHT:HASH of the header with the app hash
	Time    *time.Time     `json:"time,omitempty"`   // of that header
	Bytes   int            `json:"bytes,omitempty"`  // of the file
	File    string         `json:"file,omitempty"`

	Answer   string   `json:"answer,omitempty"`   // kind of the API's answer that was compared with the record
	Verified []string `json:"verified,omitempty"` // its fields that are as the record says
	Unproven []string `json:"unproven,omitempty"` // its fields that nobody has proven
	Pinned   string   `json:"pinned,omitempty"`   // HEIGHT:HASH of the header that was trusted at first use
	Notice   string   `json:"notice,omitempty"`
}

// shownRecord is the part that does not depend on a header.
func shownRecord(k chain.Key, record, appHash []byte) (*shownJSON, error) {
	out := &shownJSON{Path: chain.FormatPath(k, chain.Testnet), Exists: record != nil,
		CBOR: hex.EncodeToString(record), AppHash: hex.EncodeToString(appHash)}
	var err error
	if out.Exists {
		out.Value, err = explorer.Readable(chain.Testnet, k, record)
	}
	return out, err
}

func shownOf(s *light.Shown) (*shownJSON, error) {
	out, err := shownRecord(s.Key, s.Record, s.AppHash)
	if err != nil {
		return nil, err
	}
	at := s.Time.UTC()
	out.ChainID, out.Height, out.Header, out.Time = s.ChainID, s.Height, s.Header.String(), &at
	return out, nil
}

func answerShown(cmd *cobra.Command, g *globals, s *light.Shown) error {
	out, err := shownOf(s)
	if err != nil {
		return err
	}
	return answer(cmd, g, out)
}

// newStateProof returns the command that fetches a proof.
func newStateProof(g *globals) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "proof PATH -o FILE", Short: "Fetch and check the proof of a record, or of its absence", Args: cobra.RangeArgs(1, 2),
		Long: `Fetch the proof of a record of the newest provable state, or that there is none,
check it and write it to FILE: the header after that state with the votes for it and
the validators, and the state nodes from the app hash to the record. Who trusts that
header can verify the file offline. With --trust HEIGHT:HASH the file also has a way
of headers from that one to the last, for those who trust it and not this node.

` + stateKeys,
		Example: "  perdure state proof deal/17 --trust 1200:6F0C... -o deal.proof",
		RunE:    func(cmd *cobra.Command, args []string) error { return runStateProof(cmd, g, args, out) },
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
	trust, err := g.trusted()
	if err != nil {
		return err
	}
	node := g.plain()
	defer node.Close()
	bundle, shown, err := light.Gather(cmd.Context(), node, k, trust, time.Now())
	if err != nil {
		return err
	}
	raw, err := chain.Encode(bundle)
	if err != nil {
		return fmt.Errorf("encode proof: %w", err)
	}
	if err := writeOutput(cmd, out, func(w io.Writer) error { _, err := w.Write(raw); return err }); err != nil {
		return err
	}
	if out == "-" {
		return nil
	}
	made, err := shownOf(shown)
	if err != nil {
		return err
	}
	made.Bytes, made.File = len(raw), out
	return answer(cmd, g, made)
}
