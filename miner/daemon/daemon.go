// Package daemon is a whole miner in one process: it follows the chain, seals
// and proves its sectors, works on its deals, and serves its pieces for pay.
//
// A miner's home holds config.toml, keystore/ (its keys), identity (its libp2p
// key), records/ and ledger/ (Pebble), sectors/ and pieces/.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/miner/db"
	"github.com/perdure/perdure/miner/deals"
	"github.com/perdure/perdure/miner/disk"
	"github.com/perdure/perdure/miner/proving"
	"github.com/perdure/perdure/miner/sealing"
	"github.com/perdure/perdure/miner/unsealing"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/retrieval/ledger"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
)

// Options are what a daemon is made of beside its config file.
type Options struct {
	Home   string
	Config Config
	Key    []byte // secp256k1 private key of the worker
	Log    *slog.Logger
}

// Daemon is a running miner.
type Daemon struct {
	opts   Options
	id     chain.MinerID
	log    *slog.Logger
	parts  lifecycle.Group
	node   *rpc.Client
	params *consensus.Params
	miner  chain.Miner

	records   *db.DB
	disk      *disk.Disk
	source    *source
	unsealing *unsealing.Unsealing
	receipts  *publisher
	host      *p2p.Host
	ledger    *ledger.Ledger
	send      *sender
	prices    *tariff
	market    *ledgerChain
	seller    *seller.Seller
	redeemer  *seller.Redeemer
	heights   chan chain.Height
	channels  *channels
	sealing   *sealing.Sealing
	proving   *proving.Proving
	deals     *deals.Deals
	asks      *asks
	status    *status
	public    *public
}

// ConfigPath is the config file of a home.
func ConfigPath(home string) string { return filepath.Join(home, "config.toml") }

// KeystorePath is the keystore of a home.
func KeystorePath(home string) string { return filepath.Join(home, "keystore") }

// IdentityPath is the libp2p key of a home.
func IdentityPath(home string) string { return filepath.Join(home, "identity") }

// New opens a miner's home and reads what the chain says of it. Run starts it,
// Close lets go of it.
func New(ctx context.Context, opts Options) (*Daemon, error) {
	d := &Daemon{opts: opts, log: opts.Log}
	for _, step := range []func(context.Context) error{d.readChain, d.openStores, d.openUnsealing, d.openNetwork, d.openMarket, d.openWork, d.openPublic} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("start miner %s: %w", opts.Config.Miner, err), d.Close())
		}
	}
	return d, nil
}

func (d *Daemon) readChain(ctx context.Context) (err error) {
	if d.id, err = chain.ParseMiner(d.opts.Config.Miner); err != nil {
		return err
	}
	d.node = rpc.New(d.opts.Config.Node)
	d.node.OnTrouble(d.nodeTrouble)
	d.parts.OnClose("node client", func() error { d.node.Close(); return nil })
	if d.params, err = d.node.Params(ctx); err != nil {
		return err
	}
	ok, err := d.node.Record(ctx, chain.MinerKey(d.id), &d.miner)
	if err == nil && !ok {
		err = fmt.Errorf("the chain %s has no such miner", d.params.ChainID)
	}
	if err != nil {
		return err
	}
	d.send, err = newSender(d.node, d.opts.Key, d.params)
	if err == nil && d.send.address() != d.miner.Keys.Worker {
		err = fmt.Errorf("the key is of %s, the miner's worker is %s",
			chain.FormatAddress(d.send.address(), d.params.Network), chain.FormatAddress(d.miner.Keys.Worker, d.params.Network))
	}
	return err
}

// nodeTrouble says that the node is away, which costs proofs if it stays so, or
// back.
func (d *Daemon) nodeTrouble(err error) {
	if err != nil {
		d.log.Warn("the node does not answer: nothing is proven until it does", "node", d.opts.Config.Node, "err", err)
		return
	}
	d.log.Info("the node answers again", "node", d.opts.Config.Node)
}

func (d *Daemon) openStores(context.Context) (err error) {
	reserve, err := chain.ParseSize(d.opts.Config.Sealing.Reserve)
	if err != nil {
		return fmt.Errorf("sealing.reserve: %w", err)
	}
	if d.disk, err = disk.New(d.opts.Home, d.id, reserve); err != nil {
		return err
	}
	if d.records, err = db.Open(filepath.Join(d.opts.Home, "records")); err != nil {
		return err
	}
	d.parts.OnClose("records", d.records.Close)
	if d.ledger, err = ledger.Open(filepath.Join(d.opts.Home, "ledger"), ledger.Options{}); err != nil {
		return err
	}
	d.parts.OnClose("ledger", d.ledger.Close)
	return nil
}

func (d *Daemon) openWork(context.Context) (err error) {
	proof := d.miner.SealProof
	params, err := porep.ParamsOf(proof)
	if err != nil {
		return err
	}
	cfg := d.opts.Config
	if err := d.openSealing(proof); err != nil {
		return err
	}
	if err := d.openProving(proof); err != nil {
		return err
	}
	d.channels = newChannels(d)
	fetch, err := newFetcher(d)
	if err != nil {
		return err
	}
	d.deals = deals.New(deals.Config{
		Miner: d.id, SectorSize: params.SectorSize(), PackDelay: cfg.Sealing.PackDelay,
		Retry: retry, Log: d.log.With("part", "deals"), Packed: d.sealing.Wake, Buyer: fetch,
	}, d.records, d.node, d.send, fetch, d.disk)
	if d.asks, err = newAsks(d); err != nil {
		return err
	}
	if d.status, err = newStatus(d); err != nil {
		return err
	}
	return d.asks.reread(d.opts.Home)
}

func (d *Daemon) openSealing(proof abi.RegisteredSealProof) (err error) {
	cfg := sealing.Config{Miner: d.id, SealProof: proof, Retry: retry, Log: d.log.With("part", "sealing")}
	if err := d.opts.Config.Sealing.limits(&cfg); err != nil {
		return err
	}
	d.sealing, err = sealing.New(cfg, d.records, d.node, d.send, d.disk)
	return err
}

func (d *Daemon) openProving(proof abi.RegisteredSealProof) (err error) {
	d.proving, err = proving.New(proving.Config{Miner: d.id, SealProof: proof, Log: d.log.With("part", "proving")},
		d.node, d.send, d.send, d.disk)
	return err
}

// Host is the miner's place on the network.
func (d *Daemon) Host() *p2p.Host { return d.host }

// Height is that of the last Update taken in.
func (d *Daemon) Height() chain.Height { return d.status.read().Height }

// StatusAddr is the host:port of the status API.
func (d *Daemon) StatusAddr() string { return d.status.addr() }

// Run works until ctx ends or a part fails.
func (d *Daemon) Run(ctx context.Context) error {
	d.parts.Add("addresses", d.keepAnnounced)
	d.parts.Add("follower", d.follow)
	d.parts.Add("sealing", d.sealing.Run)
	d.parts.Add("proving", d.proving.Run)
	d.parts.Add("deals", d.deals.Run)
	d.parts.Add("asks", d.asks.Run)
	d.parts.Add("retrieval", d.sell)
	d.parts.Add("channels", d.channels.Run)
	d.parts.Add("unsealing", d.unsealing.Run)
	d.parts.Add("receipts", func(ctx context.Context) error { return d.receipts.Run(ctx, d.Height) })
	d.parts.Add("status", d.status.Run)
	d.public.add(&d.parts)
	return d.parts.Run(ctx)
}

// Close lets go of everything that New opened.
func (d *Daemon) Close() error { return d.parts.Close() }
