package daemon

import (
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/internal/lifecycle"
)

// Config is a miner's config.toml. Unknown keys are errors.
type Config struct {
	Miner  string `toml:"miner"`  // t01000; set by `perdure miner init`
	Node   string `toml:"node"`   // URL of the chain node's API
	Worker string `toml:"worker"` // address of the key that signs, in keystore/
	API    string `toml:"api"`    // host:port of the status API; loopback, port 0 picks one

	Listen   []string `toml:"listen"`   // libp2p multiaddrs
	Announce []string `toml:"announce"` // what others are told instead, if any

	Sealing   SealingConfig   `toml:"sealing"`
	Retrieval RetrievalConfig `toml:"retrieval"`
	Ask       AskConfig       `toml:"ask"`
}

// SealingConfig bounds how much of the machine sealing takes.
type SealingConfig struct {
	Parallel  int    `toml:"parallel"`   // sectors sealed at once
	Workers   int    `toml:"workers"`    // cores a sector may use; 0: all
	PackDelay uint64 `toml:"pack_delay"` // blocks that a piece waits for others to share its sector
	Reserve   string `toml:"reserve"`    // disk space left to others, such as "10GiB"
}

// RetrievalConfig is what serving costs.
type RetrievalConfig struct {
	Price          chain.Amount `toml:"price"`            // attoPDR a chunk of up to 256 KiB
	FreeChunks     uint64       `toml:"free_chunks"`      // chunks a peer gets for nothing each hour
	BytesPerSecond int          `toml:"bytes_per_second"` // bound on what is sent; 0: none
}

// AskConfig is the offer that the daemon keeps in the order book while it
// runs. Without a capacity it offers nothing by itself.
type AskConfig struct {
	Capacity    string       `toml:"capacity" json:"capacity"`        // padded bytes, such as "64MiB"
	Price       chain.Amount `toml:"price" json:"price"`              // attoPDR per GiB per block
	Collateral  chain.Amount `toml:"collateral" json:"collateral"`    // attoPDR per GiB
	MinDuration uint64       `toml:"min_duration" json:"minDuration"` // blocks
	MaxDuration uint64       `toml:"max_duration" json:"maxDuration"` // blocks
	Life        uint64       `toml:"life" json:"life"`                // blocks until the ask expires and is placed again
}

// DefaultConfig is what `perdure miner init` writes.
func DefaultConfig() Config {
	return Config{
		Node: "http://127.0.0.1:26660", API: "127.0.0.1:0",
		Listen:    []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"},
		Sealing:   SealingConfig{Parallel: 1, PackDelay: 4, Reserve: "1GiB"},
		Retrieval: RetrievalConfig{Price: chain.Atto(1_000_000_000_000)},
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
