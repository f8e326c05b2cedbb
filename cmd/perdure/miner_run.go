package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/node"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/miner/daemon"
	"github.com/perdure/perdure/retrieval/p2p"
)

// minerInitOptions are the flags of miner init.
type minerInitOptions struct {
	wallet            string
	validator         string
	sector            string
	fund, fees        amount
	price, collateral amount
	capacity          size
	listen, announce  []string
	nat               string
	relays            []string
	parallel, workers int
	commit            int
}

// newMinerInit returns the command that makes a miner.
func newMinerInit(g *globals) *cobra.Command {
	o := minerInitOptions{fund: amount(chain.PDR(100)), fees: amount(chain.PDR(10)), price: amount(chain.Atto(1_000_000_000)),
		collateral: amount(chain.Atto(chain.AttoPerPDR / 100))}
	cmd := &cobra.Command{
		Use:   "init --wallet DIR [--sector-size SIZE]",
		Short: "Make a miner: keys, registration on chain, config file",
		Long: `Make a miner in the directory of --home: keys for its worker and its place on the
network, registration on the chain of --node, and config.toml. The address of
--from in the wallet of --wallet (a home directory) pays: it becomes owner and
beneficiary, moves --fund to the miner's balance (deposits, pledge, collateral,
proof fees) and --fees to the worker's account. Both keystores use the same
passphrase. After a crash the same command goes on where it was.

With --validator the miner votes with its proven power through the chain node of
that home, whose keys are registered for it and belong to it for good: a validator
of genesis cannot be one of a miner, and no two miners share a node's keys. A miner
made without it can be given a node later: perdure miner keys set.`,
		Example: `  perdure miner init --home ~/miner --wallet ~/.perdure --node http://127.0.0.1:26660 \
    --sector-size 8MiB --capacity 64MiB`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runMinerInit(cmd, g, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.wallet, "wallet", "", "home directory whose wallet pays and owns")
	f.StringVar(&o.validator, "validator", "", "home of the chain node that votes for the miner (default: it does not vote)")
	f.IntVar(&o.commit, "commit", 0, "sectors without deals that are kept on the chain for power and votes")
	f.StringVar(&o.sector, "sector-size", "8MiB", "size of all sectors, fixed for good")
	f.Var(&o.fund, "fund", "money moved to the miner's balance")
	f.Var(&o.fees, "fees", "money moved to the worker's account")
	f.Var(&o.capacity, "capacity", "padded bytes offered in the order book (0: nothing)")
	f.Var(&o.price, "price", "price of the offer, attoPDR per GiB per block")
	f.Var(&o.collateral, "collateral", "collateral of the offer, attoPDR per GiB")
	f.StringSliceVar(&o.listen, "listen", nil, "libp2p multiaddrs to listen on (default port 4001 of all interfaces; on a devnet free ports of 127.0.0.1)")
	f.StringSliceVar(&o.announce, "announce", nil, "libp2p multiaddrs that others are told instead")
	f.StringVar(&o.nat, "nat", string(p2p.Auto), "whether strangers reach the miner: auto (found out), private, public or off")
	f.StringSliceVar(&o.relays, "relays", nil, "multiaddrs, with peer IDs, of relays to use before other miners")
	f.IntVar(&o.parallel, "parallel", 1, "sectors sealed at once")
	f.IntVar(&o.workers, "workers", 0, "cores that sealing a sector may use (0: all)")
	require(cmd, "wallet")
	return cmd
}

// minerJSON is a miner that was made.
type minerJSON struct {
	Miner  string `json:"miner"`
	Worker string `json:"worker"`
	Home   string `json:"home"`
	Config string `json:"config"`
}

// errMinerLight is returned to who wants a miner to verify its node.
var errMinerLight = errors.New("--light is for clients: a miner runs beside a node of its own")

func runMinerInit(cmd *cobra.Command, g *globals, o minerInitOptions) error {
	proof, err := sectorProof(o.sector)
	if err != nil {
		return usage(fmt.Errorf("--sector-size %s: %w", o.sector, err))
	}
	if g.Light {
		return usage(errMinerLight)
	}
	if _, err := p2p.ParseMode(o.nat); err != nil {
		return usage(fmt.Errorf("--nat %w", err))
	}
	client := g.plain()
	defer client.Close()
	payer := *g
	payer.Home = o.wallet
	owner, err := openSender(&payer, client)
	if err != nil {
		return fmt.Errorf("wallet %s: %w", o.wallet, err)
	}
	keys, err := openKeystore(g)
	if err != nil {
		return err
	}
	if keystoreDir(g) != daemon.KeystorePath(g.Home) || keystoreDir(&payer) == keystoreDir(g) {
		return usage(errors.New("--home of the miner and --wallet must be different directories"))
	}
	init := daemon.InitOptions{
		Home: g.Home, Config: o.config(), Node: client, Owner: owner, Keys: keys, SealProof: proof,
		Fund: chain.Amount(o.fund), Fees: chain.Amount(o.fees),
	}
	if o.validator != "" {
		params, err := client.Params(cmd.Context())
		if err != nil {
			return err
		}
		init.Votes = func(k *chain.Keys) error { return node.VoteKeys(o.validator, params.ChainID, k) }
	}
	cfg, err := daemon.Init(cmd.Context(), init)
	if err != nil {
		return err
	}
	return answer(cmd, g, minerJSON{cfg.Miner, cfg.Worker, g.Home, daemon.ConfigPath(g.Home)})
}

// config is the config file that the flags say.
func (o *minerInitOptions) config() daemon.Config {
	cfg := daemon.DefaultConfig()
	cfg.Sealing.Parallel, cfg.Sealing.Workers, cfg.Sealing.Capacity = o.parallel, o.workers, o.commit
	cfg.Ask = daemon.AskConfig{Price: chain.Amount(o.price), Collateral: chain.Amount(o.collateral)}
	if o.capacity != 0 {
		cfg.Ask.Capacity = chain.FormatSize(uint64(o.capacity))
	}
	cfg.Listen, cfg.Announce = o.listen, o.announce
	cfg.P2P.NAT, cfg.P2P.Relays = o.nat, o.relays
	return cfg
}

// newMinerRun returns the command that runs a miner.
func newMinerRun(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Run the miner until it is stopped", Args: cobra.NoArgs,
		Long: `Run the miner of --home: it follows the chain, keeps its offer in the order book,
fetches and seals the pieces of its deals, proves every sector in its windows, and
serves its pieces for pay. What it was doing when it was stopped or killed goes on
at the next start. HOME/miner.json says where its own API and its host are.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runMinerRun(cmd, g) },
	}
}

func runMinerRun(cmd *cobra.Command, g *globals) error {
	if g.Light {
		return usage(errMinerLight)
	}
	cfg, err := daemon.LoadConfig(daemon.ConfigPath(g.Home))
	if err != nil {
		return err
	}
	if g.Node != "" {
		cfg.Node = g.Node
	}
	var keys *wallet.Keystore
	if keys, err = openKeystore(g); err != nil {
		return err
	}
	key, err := cfg.Key(keys)
	if err != nil {
		return err
	}
	log := logger(cmd)
	d, err := daemon.New(cmd.Context(), daemon.Options{Home: g.Home, Config: cfg, Key: key, Log: log})
	if err != nil {
		return err
	}
	log.Info("miner runs", "miner", cfg.Miner, "api", "http://"+d.StatusAddr(), "p2p", d.Host().Addrs())
	return errors.Join(d.Run(cmd.Context()), d.Close())
}
