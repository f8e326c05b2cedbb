package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/node"
)

// newNodeCommand returns the group of commands of a chain node.
func newNodeCommand(g *globals) *cobra.Command {
	return newGroup("node", "Run a chain node",
		`Run a chain node. Its home is the directory of --home: config.toml, genesis.json,
validator.json, keys, and what it stores.

A chain of one validator:
  perdure node init --home n --network devnet --chain-id try-1 --reward ADDRESS --account ADDRESS=1000000PDR
  perdure node run --home n

A chain of four, each on its own machine or port:
  perdure node init --home nI --p2p HOST:PORT --reward ADDRESS      (each; publishes nI/validator.json)
  perdure node genesis --network devnet --chain-id try-4 --account ADDRESS=1000000PDR \
      -o genesis.json n0/validator.json n1/validator.json n2/validator.json n3/validator.json
  perdure node init --home nI --genesis genesis.json --peers PEER,PEER,PEER     (each)
  perdure node run --home nI                                        (each)

A node that joins an old chain starts from a snapshot of its peers:
  perdure node run --home n --sync-from http://HOST:26657,http://OTHER:26657 --trust HEIGHT:HASH`,
		newNodeInit(g), newNodeGenesis(g), newNodeRun(g), newNodeRollback(g), newNodeReset(g))
}

// nodeInitOptions are the flags of node init.
type nodeInitOptions struct {
	genesis, reward        string
	network, chainID       string
	accounts               []string
	api, rpc, p2p, moniker string
	external               string
	peers, seeds           []string
	local                  bool
}

// newNodeInit returns the command that makes a node's home.
func newNodeInit(g *globals) *cobra.Command {
	var o nodeInitOptions
	cmd := &cobra.Command{
		Use: "init", Short: "Make a node's home: keys, config, and a genesis if asked for", Args: cobra.NoArgs,
		Long: `Make a node's home, or change its config: what is there already is kept unless a flag
names it, keys always. With --genesis the node joins that chain; with --network
and --chain-id it gets a new chain of its own, of which it is the only
validator. Without either, validator.json is what perdure node genesis needs of it.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runNodeInit(cmd, g, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.genesis, "genesis", "", "genesis.json of the chain to join")
	f.StringVar(&o.network, "network", "", "parameters of a chain of its own: devnet, testnet or mainnet")
	f.StringVar(&o.chainID, "chain-id", "", "name of a chain of its own")
	f.StringVar(&o.reward, "reward", "", "address that receives this validator's tips")
	f.StringArrayVar(&o.accounts, "account", nil, "ADDRESS=AMOUNT at genesis of a chain of its own; may be repeated")
	f.StringVar(&o.api, "api", "", "host:port of the HTTP API (default 127.0.0.1:26660)")
	f.StringVar(&o.rpc, "rpc", "", "host:port of CometBFT's JSON-RPC (default 127.0.0.1:26657)")
	f.StringVar(&o.p2p, "p2p", "", "host:port for peers (default 0.0.0.0:26656)")
	f.StringVar(&o.external, "external", "", "host:port that peers are told instead of --p2p")
	f.StringVar(&o.moniker, "moniker", "", "name that peers see")
	f.StringSliceVar(&o.peers, "peers", nil, "ID@host:port of peers that are always kept")
	f.StringSliceVar(&o.seeds, "seeds", nil, "ID@host:port of peers asked for more peers")
	f.BoolVar(&o.local, "local-peers", false, "allow peers on private addresses and several on one address")
	return cmd
}

// nodeJSON is a node that was made.
type nodeJSON struct {
	Home    string          `json:"home"`
	ChainID string          `json:"chainId,omitempty"` // of the genesis, if there is one
	Peer    string          `json:"peer"`              // how others dial it
	Public  *node.Candidate `json:"validator"`
}

func runNodeInit(cmd *cobra.Command, g *globals, o nodeInitOptions) error {
	if (o.network == "") != (o.chainID == "") || o.genesis != "" && o.network != "" {
		return usage(errors.New("give --genesis, or --network with --chain-id, or none of them"))
	}
	cfg, err := o.config(cmd, g.Home)
	if err != nil {
		return err
	}
	identity, err := node.Init(g.Home)
	if err != nil {
		return err
	}
	candidate, err := o.candidate(g.Home, identity, cfg)
	if err != nil {
		return err
	}
	if err := o.makeGenesis(g.Home, candidate); err != nil {
		return err
	}
	if err := cfg.Save(g.Home); err != nil {
		return err
	}
	made := nodeJSON{Home: g.Home, Peer: candidate.Peer(), Public: candidate}
	if doc, _, err := node.LoadGenesis(g.Home); err == nil {
		made.ChainID = doc.ChainID
	}
	return answer(cmd, g, made)
}

// config is the home's config, or the default one, changed by the flags that
// were given.
func (o *nodeInitOptions) config(cmd *cobra.Command, home string) (node.Config, error) {
	cfg, err := node.LoadConfig(home)
	if errors.Is(err, os.ErrNotExist) {
		cfg, err = node.DefaultConfig(), nil
	}
	for _, f := range []struct {
		name     string
		to, from *string
	}{{"api", &cfg.API, &o.api}, {"rpc", &cfg.RPC, &o.rpc}, {"p2p", &cfg.P2P, &o.p2p}, {"external", &cfg.External, &o.external},
		{"moniker", &cfg.Moniker, &o.moniker}} {
		if cmd.Flags().Changed(f.name) {
			*f.to = *f.from
		}
	}
	if cmd.Flags().Changed("peers") {
		cfg.Peers = o.peers
	}
	if cmd.Flags().Changed("seeds") {
		cfg.Seeds = o.seeds
	}
	if cmd.Flags().Changed("local-peers") {
		cfg.LocalPeers = o.local
	}
	return cfg, err
}

// candidate writes and returns what the home publishes.
func (o *nodeInitOptions) candidate(home string, identity *node.Identity, cfg node.Config) (*node.Candidate, error) {
	p2p := cfg.P2P
	if cfg.External != "" {
		p2p = cfg.External
	}
	var reward chain.Address
	text := o.reward
	if before, err := node.LoadCandidate(node.CandidatePath(home)); err == nil && text == "" {
		text = before.Reward
	}
	if text != "" {
		var err error
		if reward, err = chain.ParseAddress(text); err != nil {
			return nil, usage(fmt.Errorf("--reward: %w", err))
		}
	}
	candidate := identity.Candidate(p2p, reward, chain.Testnet)
	return candidate, candidate.Save(home)
}

// makeGenesis puts the genesis that the flags ask for into the home.
func (o *nodeInitOptions) makeGenesis(home string, candidate *node.Candidate) error {
	switch {
	case o.genesis != "":
		doc, err := os.ReadFile(o.genesis)
		if err != nil {
			return fmt.Errorf("read genesis: %w", err)
		}
		return node.SaveGenesis(home, doc)
	case o.network != "":
		if _, _, err := node.LoadGenesis(home); err == nil {
			return fmt.Errorf("%s has a genesis already", home)
		}
		doc, err := genesisDocument(o.network, o.chainID, []*node.Candidate{candidate}, o.accounts)
		if err != nil {
			return err
		}
		return node.SaveGenesis(home, doc)
	}
	return nil
}

func genesisDocument(network, chainID string, candidates []*node.Candidate, accounts []string) ([]byte, error) {
	params, err := node.NetworkParams(network, chainID)
	if err != nil {
		return nil, usage(fmt.Errorf("--network: %w", err))
	}
	var money []consensus.GenesisAccount
	for _, text := range accounts {
		address, amount, ok := strings.Cut(text, "=")
		balance, err := chain.ParseAmount(amount)
		if !ok || err != nil {
			return nil, usage(fmt.Errorf("--account %q: want ADDRESS=AMOUNT", text))
		}
		money = append(money, consensus.GenesisAccount{Address: address, Balance: balance})
	}
	return node.MakeGenesis(node.NewGenesis(params, candidates, money), time.Now())
}

// newNodeGenesis returns the command that makes a genesis of several validators.
func newNodeGenesis(g *globals) *cobra.Command {
	var network, chainID, out string
	var accounts []string
	cmd := &cobra.Command{
		Use:   "genesis --network NAME --chain-id ID [--account ADDRESS=AMOUNT]... -o FILE VALIDATOR.JSON...",
		Short: "Make the genesis of a chain from its validators' validator.json",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runNodeGenesis(cmd, g, network, chainID, accounts, out, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&network, "network", "", "parameters: devnet, testnet or mainnet")
	f.StringVar(&chainID, "chain-id", "", "name of the chain")
	f.StringArrayVar(&accounts, "account", nil, "ADDRESS=AMOUNT at genesis; may be repeated")
	f.StringVarP(&out, "output", "o", "", "genesis.json to write")
	require(cmd, "network", "chain-id", "output")
	return cmd
}

// genesisJSON is a genesis that was made.
type genesisJSON struct {
	ChainID string   `json:"chainId"`
	File    string   `json:"file"`
	Peers   []string `json:"peers"` // of all validators, for --peers of node init
}

func runNodeGenesis(cmd *cobra.Command, g *globals, network, chainID string, accounts []string, out string, files []string) error {
	made := genesisJSON{ChainID: chainID, File: out}
	var candidates []*node.Candidate
	for _, file := range files {
		c, err := node.LoadCandidate(file)
		if err != nil {
			return err
		}
		candidates = append(candidates, c)
		made.Peers = append(made.Peers, c.Peer())
	}
	doc, err := genesisDocument(network, chainID, candidates, accounts)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, doc, 0o644); err != nil {
		return fmt.Errorf("write genesis: %w", err)
	}
	return answer(cmd, g, made)
}
