package devnet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/miner/daemon"
)

// Passphrase opens every keystore of a devnet: its money is worth nothing.
const Passphrase = "devnet"

// keyWork is the scrypt work factor of a devnet's keys, so that they open at once.
const keyWork = 10

// Keystore opens the keystore of a home of a devnet.
func Keystore(home string) *wallet.Keystore {
	return wallet.Open(daemon.KeystorePath(home), Passphrase).WithWork(keyWork)
}

// homeKey returns the address of a home's only key, which is made if there is none.
func homeKey(home string) (chain.Address, error) {
	keys := Keystore(home)
	a, err := keys.Default()
	if errors.Is(err, wallet.ErrNoKey) {
		return keys.New()
	}
	return a, err
}

// Miner is a miner of a network in one process. Start and Stop are called by
// one goroutine at a time.
type Miner struct {
	ID    chain.MinerID
	Owner chain.Address // and worker: one key
	Home  string

	log     *slog.Logger
	daemon  *daemon.Daemon
	cancel  context.CancelFunc
	done    chan error
	stopped atomic.Bool // by Stop
}

// What a devnet's miner starts with.
var (
	genesisMoney = chain.PDR(1_000_000) // of each key in genesis
	minerFund    = chain.PDR(10_000)    // moved to the miner's balance
	askPrice     = chain.Atto(chain.AttoPerPDR / 1000)
	askStake     = chain.Atto(chain.AttoPerPDR / 10)
)

// askSectors is how many sectors' worth of space a miner offers.
const askSectors = 16

// initMiner registers the miner of a home, whose key genesis gave money to. Its
// price is step halves above the first one's.
func (w *World) initMiner(ctx context.Context, node *rpc.Client, home string, step int, votes func(*chain.Keys) error) error {
	keys := Keystore(home)
	worker, err := keys.Default()
	if err != nil {
		return err
	}
	key, err := keys.Key(worker)
	if err != nil {
		return err
	}
	owner, err := wallet.NewSender(node, key, chain.Amount{})
	if err != nil {
		return err
	}
	cfg, err := minerConfig(step, w.proof)
	if err != nil {
		return err
	}
	cfg.Sealing.Capacity = w.commit
	_, err = daemon.Init(ctx, daemon.InitOptions{
		Home: home, Config: cfg, Node: node, Owner: owner, Keys: keys, SealProof: w.proof, Fund: minerFund, Votes: votes,
	})
	if errors.Is(err, daemon.ErrInitialised) { // the network was started before
		return nil
	}
	return err
}

func minerConfig(step int, proof abi.RegisteredSealProof) (daemon.Config, error) {
	cfg := daemon.DefaultConfig()
	size, err := proof.SectorSize()
	if err != nil {
		return cfg, err
	}
	cfg.Sealing.Reserve = "0"
	cfg.Ask.Capacity = chain.FormatSize(askSectors * uint64(size))
	cfg.Ask.Collateral = askStake
	cfg.Ask.Price, err = askPrice.MulDiv(uint64(2+step), 2)
	return cfg, err
}

// Start runs the miner against a node.
func (m *Miner) Start(ctx context.Context, node string) error {
	cfg, err := daemon.LoadConfig(daemon.ConfigPath(m.Home))
	if err != nil {
		return err
	}
	cfg.Node = node
	key, err := cfg.Key(Keystore(m.Home))
	if err != nil {
		return err
	}
	if m.ID, err = chain.ParseMiner(cfg.Miner); err != nil {
		return err
	}
	if m.daemon, err = daemon.New(ctx, daemon.Options{Home: m.Home, Config: cfg, Key: key, Log: m.log.With("miner", cfg.Miner)}); err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m.cancel, m.done = cancel, make(chan error, 1)
	m.stopped.Store(false)
	go func() {
		err := m.daemon.Run(run)
		if err != nil {
			m.log.Error("miner stopped", "miner", cfg.Miner, "err", err)
		}
		m.done <- errors.Join(err, m.daemon.Close())
	}()
	return nil
}

// errEnded is of a miner that stopped by itself without an error.
var errEnded = errors.New("it stopped by itself")

// ended is why a miner that was started runs no more, nil while it runs.
func (m *Miner) ended() error {
	select {
	case err := <-m.done:
		m.done <- err // Stop wants it, too
		return fmt.Errorf("miner %s: %w", chain.FormatMiner(m.ID, chain.Testnet), cmp.Or(err, errEnded))
	default:
		return nil
	}
}

// Running reports whether the miner was started and not stopped.
func (m *Miner) Running() bool { return m.cancel != nil }

// Stop ends the miner and returns what it failed with.
func (m *Miner) Stop() error {
	if m.cancel == nil {
		return nil
	}
	m.stopped.Store(true)
	m.cancel()
	err := <-m.done
	m.cancel, m.daemon = nil, nil
	if err != nil {
		return fmt.Errorf("miner %s: %w", chain.FormatMiner(m.ID, chain.Testnet), err)
	}
	return nil
}

// height is that of the last Update that the running miner took in.
func (m *Miner) height() chain.Height { return m.daemon.Height() }

// Addrs are the miner's libp2p addresses while it runs.
func (m *Miner) Addrs() []string {
	if m.daemon == nil {
		return nil
	}
	return m.daemon.Host().Addrs()
}

// makeHome makes a home and returns the address of its key.
func makeHome(home string) (chain.Address, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return chain.Address{}, fmt.Errorf("make home: %w", err)
	}
	return homeKey(home)
}
