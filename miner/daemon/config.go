package daemon

import (
	"fmt"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/miner/sealing"
	"github.com/perdure/perdure/porep/seal"
	"github.com/perdure/perdure/retrieval/p2p"
)

// Config is a miner's config.toml. Unknown keys are errors.
type Config struct {
	Miner  string `toml:"miner"`  // t01000; set by `perdure miner init`
	Node   string `toml:"node"`   // URL of the chain node's API
	Worker string `toml:"worker"` // address of the key that signs, in keystore/
	API    string `toml:"api"`    // host:port of the status API; loopback, port 0 picks one

	Listen   []string `toml:"listen"`   // libp2p multiaddrs
	Announce []string `toml:"announce"` // what others are told instead, if any

	P2P       P2PConfig       `toml:"p2p"`
	Sealing   SealingConfig   `toml:"sealing"`
	Retrieval RetrievalConfig `toml:"retrieval"`
	Public    PublicConfig    `toml:"public"`
	Ask       AskConfig       `toml:"ask"`
}

// SealingConfig bounds how much of the machine sealing takes. Sectors that do not
// fit wait until others are done.
type SealingConfig struct {
	Parallel  int    `toml:"parallel"`   // sectors sealed at once, together
	Workers   int    `toml:"workers"`    // cores that sealing may use; 0: all
	PackDelay uint64 `toml:"pack_delay"` // blocks that a piece waits for others to share its sector
	Reserve   string `toml:"reserve"`    // disk space left to others, such as "10GiB"

	Memory         string `toml:"memory"`           // for labelling, such as "8GiB"; empty: three quarters of the machine's
	Scratch        string `toml:"scratch"`          // disk space of sectors on their way to the chain; empty: no bound
	LayersInMemory int    `toml:"layers_in_memory"` // of each sector, instead of mapped files: 0, 1 or 2
	Parents        string `toml:"parents"`          // directory of tables of parents; empty: none

	Capacity int `toml:"capacity"` // sectors without deals that are kept on the chain for their power and votes

	KeepUnsealed  bool `toml:"keep_unsealed"`   // keep the padded data of active sectors
	KeepLastLayer bool `toml:"keep_last_layer"` // keep the labels that unseal a range without labelling anew
}

// limits fills in what the config says of sealing.
func (c SealingConfig) limits(cfg *sealing.Config) (err error) {
	if c.Parallel < 0 {
		return fmt.Errorf("sealing.parallel: %d, want at least 1", c.Parallel)
	}
	if c.Workers < 0 {
		return fmt.Errorf("sealing.workers: %d, want 0 or more", c.Workers)
	}
	if c.Capacity < 0 {
		return fmt.Errorf("sealing.capacity: %d, want 0 or more", c.Capacity)
	}
	if c.LayersInMemory < 0 || c.LayersInMemory > 2 {
		return fmt.Errorf("sealing.layers_in_memory: %d, want 0, 1 or 2", c.LayersInMemory)
	}
	if cfg.Memory, err = optionalSize("sealing.memory", c.Memory); err != nil {
		return err
	}
	if cfg.Scratch, err = optionalSize("sealing.scratch", c.Scratch); err != nil {
		return err
	}
	cfg.Parallel, cfg.Workers, cfg.LayersInMemory, cfg.Parents = c.Parallel, c.Workers, c.LayersInMemory, c.Parents
	cfg.Capacity = c.Capacity
	cfg.Keep = seal.Keep{Unsealed: c.KeepUnsealed, LastLayer: c.KeepLastLayer}
	return nil
}

// optionalSize reads a size in bytes that may be missing, which is 0.
func optionalSize(key, text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := chain.ParseSize(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", key, err)
	}
	return n, nil
}

// RetrievalConfig is what serving costs, and how much of it there is.
type RetrievalConfig struct {
	Price      chain.Amount `toml:"price"`       // attoPDR a chunk of up to 256 KiB; 0: everybody gets everything for nothing
	FreeChunks uint64       `toml:"free_chunks"` // chunks a peer gets for nothing each hour
	FreeTotal  uint64       `toml:"free_total"`  // chunks that all peers together get so; 0: no bound

	BytesPerSecond     int `toml:"bytes_per_second"`      // bound on what is sent, shared equally by the peers; 0: none
	PeerBytesPerSecond int `toml:"peer_bytes_per_second"` // bound on what one peer is sent; 0: none
	Sessions           int `toml:"sessions"`              // at one time; 0: 64
	PeerSessions       int `toml:"peer_sessions"`         // of one peer at one time; 0: 8

	// DropIdle drops the copy of a piece that is sealed in an active sector when nobody
	// has read it for so long, like "24h"; it is unsealed again for whoever pays the
	// ask's unseal price. Empty: copies are kept.
	DropIdle string `toml:"drop_idle"`

	// PublishEvery is for how many blocks at most a buyer's receipt waits before it is
	// published with the others, as one message; 0: nothing is published.
	PublishEvery uint64 `toml:"publish_every"`
	// KeepReceipts is how many published receipts, the newest ones, are kept to be
	// shown, at about 300 bytes each; 0: all.
	KeepReceipts uint64 `toml:"keep_receipts"`

	Buyers []BuyerConfig `toml:"buyers,omitempty"` // exceptions from the terms
}

// AskConfig is the offer that the daemon keeps in the order book while it
// runs. Without a capacity it offers nothing by itself.
type AskConfig struct {
	Capacity    string       `toml:"capacity" json:"capacity"`        // padded bytes, such as "64MiB"
	Price       chain.Amount `toml:"price" json:"price"`              // attoPDR per GiB per block
	Collateral  chain.Amount `toml:"collateral" json:"collateral"`    // attoPDR per GiB; at least what the network asks for
	MinDuration uint64       `toml:"min_duration" json:"minDuration"` // blocks
	MaxDuration uint64       `toml:"max_duration" json:"maxDuration"` // blocks
	Life        uint64       `toml:"life" json:"life"`                // blocks until the ask expires and is placed again
	Region      string       `toml:"region" json:"region"`            // where the miner says that it is, such as "eu-de"
	UnsealPrice chain.Amount `toml:"unseal_price" json:"unsealPrice"` // attoPDR per GiB that must be unsealed to be fetched, as announced
}

// DefaultConfig is what `perdure miner init` writes.
func DefaultConfig() Config {
	return Config{
		Node: "http://127.0.0.1:26660", API: "127.0.0.1:0",
		Listen:    p2p.LoopbackAddrs(),
		P2P:       P2PConfig{NAT: string(p2p.Auto), PortMap: true, Relay: true},
		Sealing:   SealingConfig{Parallel: 1, PackDelay: 4, Reserve: "1GiB"},
		Retrieval: RetrievalConfig{Price: chain.Atto(1_000_000_000_000), PublishEvery: 14_400, KeepReceipts: 1_000_000},
	}
}

// LoadConfig reads a config file over the defaults.
func LoadConfig(path string) (Config, error) {
	cfg := DefaultConfig()
	return cfg, lifecycle.ReadConfig(path, &cfg)
}

// Save writes the config file, durably.
func (c Config) Save(path string) error {
	return lifecycle.WriteConfig(path, c)
}

// retry is how long parked work waits.
const retry = 3 * time.Second
