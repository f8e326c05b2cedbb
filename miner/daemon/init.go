package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/retrieval/p2p"
)

// InitOptions say how a new miner is made.
type InitOptions struct {
	Home      string
	Config    Config           // written to the home with Miner and Worker filled in, and Listen if it is empty
	Node      *rpc.Client      // of the chain it joins
	Owner     *wallet.Sender   // pays; becomes owner and beneficiary
	Keys      *wallet.Keystore // at KeystorePath(Home): gets the worker's key
	SealProof abi.RegisteredSealProof
	Fund      chain.Amount // moved to the miner's balance: deposits, pledge, ask collateral, proof fees
	// Votes fills in the keys of the node that votes for the miner, once owner and
	// worker are there; nil: it does not vote.
	Votes func(*chain.Keys) error
	Fees  chain.Amount // what the worker's account starts with, for the fees of its other messages
}

// ErrInitialised is returned for a home that already is a miner's.
var ErrInitialised = errors.New("a miner already lives there")

// Init makes a miner's keys, registers it on chain and writes its config file.
// After a crash it may be called again: it takes up the keys that are there,
// and the miner if it was registered already.
func Init(ctx context.Context, o InitOptions) (Config, error) {
	cfg, path := o.Config, ConfigPath(o.Home)
	if _, err := os.Stat(path); err == nil {
		return cfg, fmt.Errorf("init miner in %s: %w", o.Home, ErrInitialised)
	}
	worker, fresh, err := workerKey(o.Keys)
	if err != nil {
		return cfg, fmt.Errorf("init miner: %w", err)
	}
	if _, err := p2p.LoadIdentity(IdentityPath(o.Home)); err != nil {
		return cfg, fmt.Errorf("init miner: %w", err)
	}
	id := chain.MinerID(0)
	if !fresh {
		if id, err = minerOf(ctx, o.Node, worker); err != nil {
			return cfg, fmt.Errorf("init miner: look whether it is registered: %w", err)
		}
	}
	if err := fundWorker(ctx, o, worker); err != nil {
		return cfg, fmt.Errorf("init miner: %w", err)
	}
	if id == 0 {
		if id, err = register(ctx, o, worker); err != nil {
			return cfg, fmt.Errorf("init miner: %w", err)
		}
	}
	params, err := o.Node.Params(ctx)
	if err != nil {
		return cfg, fmt.Errorf("init miner: %w", err)
	}
	if len(cfg.Listen) == 0 {
		cfg.Listen = listenOn(params)
	}
	cfg.Miner = chain.FormatMiner(id, params.Network)
	cfg.Worker = chain.FormatAddress(worker, params.Network)
	cfg.Node = o.Node.Base()
	return cfg, cfg.Save(path)
}

// listenOn is where a miner of a network listens unless it is told otherwise: a
// devnet is on one machine; elsewhere strangers have to find it, at a port that can
// be forwarded to it.
func listenOn(p *consensus.Params) []string {
	if p.Name == consensus.Devnet().Name {
		return p2p.LoopbackAddrs()
	}
	return p2p.AllAddrs(ListenPort)
}

// ListenPort is the port of miners outside of devnets, of TCP and UDP.
const ListenPort = 4001

// Key returns the private key of the configured worker.
func (c Config) Key(keys *wallet.Keystore) ([]byte, error) {
	worker, err := chain.ParseAddress(c.Worker)
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	return keys.Key(worker)
}

// workerKey returns the keystore's only key, made now if there is none.
func workerKey(keys *wallet.Keystore) (worker chain.Address, fresh bool, err error) {
	all, err := keys.List()
	if err != nil {
		return worker, false, err
	}
	if len(all) == 0 {
		worker, err = keys.New()
		return worker, true, err
	}
	worker, err = keys.Default()
	return worker, false, err
}

// minerOf returns the first miner that a worker was registered for, 0 if none.
func minerOf(ctx context.Context, node *rpc.Client, worker chain.Address) (chain.MinerID, error) {
	type named struct {
		Miner string `json:"miner"`
	}
	all, err := rpc.List[named](ctx, node, "/v1/miners", url.Values{"worker": {chain.FormatAddress(worker, chain.Testnet)}})
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return chain.ParseMiner(all[len(all)-1].Miner) // the newest come first
}

// fundWorker brings the worker's account up to what it starts with.
func fundWorker(ctx context.Context, o InitOptions, worker chain.Address) error {
	acc, err := o.Node.Account(ctx, worker)
	if err != nil || worker == o.Owner.Address() {
		return err
	}
	missing, err := o.Fees.Sub(acc.Balance)
	if err != nil || missing.IsZero() {
		return nil // it has enough
	}
	_, err = o.Owner.Send(ctx, &chain.Transfer{To: worker, Amount: missing})
	return err
}

func register(ctx context.Context, o InitOptions, worker chain.Address) (chain.MinerID, error) {
	owner := o.Owner.Address()
	keys := chain.Keys{Owner: owner, Worker: worker, Beneficiary: owner}
	if o.Votes != nil {
		if err := o.Votes(&keys); err != nil {
			return 0, err
		}
	}
	in, err := o.Owner.Send(ctx, &chain.CreateMiner{Keys: keys, SealProof: o.SealProof, Fund: o.Fund})
	if err != nil {
		return 0, err
	}
	return in.Receipt.ID, nil
}
