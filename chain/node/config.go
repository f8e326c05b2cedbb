package node

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/internal/lifecycle"
)

// Config is a node's config.toml.
type Config struct {
	Moniker string `toml:"moniker"` // name that peers see
	API     string `toml:"api"`     // host:port of the HTTP API; port 0 picks one
	RPC     string `toml:"rpc"`     // host:port of CometBFT's JSON-RPC; empty: none
	P2P     string `toml:"p2p"`     // host:port for peers

	External string   `toml:"external"` // host:port that peers are told instead of p2p
	Peers    []string `toml:"peers"`    // ID@host:port of peers that are always kept
	Seeds    []string `toml:"seeds"`    // ID@host:port of peers asked for more peers

	// LocalPeers allows peers on private addresses and several on one address.
	LocalPeers bool `toml:"local_peers"`

	// Private keeps to the peers that are named: no addresses are exchanged, and
	// nobody else is dialled.
	Private bool `toml:"private"`

	// EngineLog is the least level of CometBFT's log lines: debug, info, warn,
	// error or none.
	EngineLog string `toml:"engine_log"`

	Mempool   MempoolConfig   `toml:"mempool"`
	Retention RetentionConfig `toml:"retention"`
	Index     IndexConfig     `toml:"index"`
	Snapshots SnapshotConfig  `toml:"snapshots"`
	Hints     HintsConfig     `toml:"hints"`
	Access    AccessConfig    `toml:"access"`
}

// MempoolConfig bounds what waits for a block; 0 is the default.
type MempoolConfig struct {
	Bytes     uint64 `toml:"bytes"`
	Count     uint64 `toml:"count"`
	PerSender uint64 `toml:"per_sender"`
}

// RetentionConfig says how much of the past the node keeps, in heights behind
// the newest. What is kept is never less than three proving periods, and blocks
// never less than evidence counts.
type RetentionConfig struct {
	Blocks uint64 `toml:"blocks"` // CometBFT's blocks; 0: as the network keeps states
	State  uint64 `toml:"state"`  // states and Updates; 0: as the network keeps them
	Index  uint64 `toml:"index"`  // the explorer's history; 0: all of it
	// Disk is the space that all three and the snapshots may take, such as
	// "200GiB"; the largest is kept shorter while they take more. Empty: any.
	Disk string `toml:"disk"`
}

// IndexConfig says whether the node keeps what the explorer's lists and history
// are made of; for how long [retention] says.
type IndexConfig struct {
	Off     bool   `toml:"off"`     // no lists, no history: a validator that nobody reads from
	Minutes uint64 `toml:"minutes"` // days for which figures of each minute are kept; 0: 31
	Hours   uint64 `toml:"hours"`   // days for which figures of each hour are kept; 0: 730
}

// series says for how long figures are kept, in seconds; more days than a number
// of seconds has are for ever.
func (c *IndexConfig) series() index.Retention {
	const most = math.MaxUint64 / index.Day
	return index.Retention{Minutes: min(c.Minutes, most) * index.Day, Hours: min(c.Hours, most) * index.Day}
}

// SnapshotConfig says which snapshots the node writes for others to start from.
type SnapshotConfig struct {
	Interval uint64 `toml:"interval"` // heights between two; 0: a quarter of the network's states
	Keep     uint64 `toml:"keep"`     // how many are kept; 0: none is written
}

// HintsConfig says whether the node asks miners what is in their pieces, so that it
// can answer who has a root that no deal names.
type HintsConfig struct {
	Off   bool   `toml:"off"`   // ask nobody
	Every uint64 `toml:"every"` // seconds between two questions to a miner; 0: 60
	Roots int    `toml:"roots"` // roots that are remembered, 8 bytes each; 0: a million
}

// DefaultConfig is what a new home gets.
func DefaultConfig() Config {
	return Config{Moniker: "perdure", API: "127.0.0.1:26660", RPC: "127.0.0.1:26657", P2P: "0.0.0.0:26656",
		Peers: []string{}, Seeds: []string{}, EngineLog: "error", Snapshots: SnapshotConfig{Keep: 2}}
}

// configFile is the name of the config file in a home.
const configFile = "config.toml"

// LoadConfig reads the config of a home over the defaults.
func LoadConfig(home string) (Config, error) {
	c, path := DefaultConfig(), filepath.Join(home, configFile)
	if err := lifecycle.ReadConfig(path, &c); err != nil {
		return c, err
	}
	if err := c.validate(); err != nil {
		return c, fmt.Errorf("read config %s: %w", path, err)
	}
	return c, nil
}

func (c *Config) validate() error {
	if _, ok := engineLevels[c.EngineLog]; !ok {
		return fmt.Errorf("engine_log is %q, want debug, info, warn, error or none", c.EngineLog)
	}
	for _, a := range []struct{ key, value string }{{"api", c.API}, {"p2p", c.P2P}} {
		if !strings.Contains(a.value, ":") {
			return fmt.Errorf("%s is %q, want host:port", a.key, a.value)
		}
	}
	if c.Hints.Roots < 0 || c.Hints.Every > 86_400 {
		return fmt.Errorf("hints: roots %d, every %d seconds; want 0 or more, and at most a day", c.Hints.Roots, c.Hints.Every)
	}
	if err := c.Access.validate(); err != nil {
		return err
	}
	if c.Retention.Disk != "" {
		if _, err := chain.ParseSize(c.Retention.Disk); err != nil {
			return fmt.Errorf("retention.disk: %w", err)
		}
	}
	return nil
}

// Save writes the config of a home, durably.
func (c Config) Save(home string) error {
	return lifecycle.WriteConfig(filepath.Join(home, configFile), c)
}
