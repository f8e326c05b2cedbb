package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
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

	// EngineLog is the least level of CometBFT's log lines: debug, info, warn,
	// error or none.
	EngineLog string `toml:"engine_log"`

	Mempool MempoolConfig `toml:"mempool"`
}

// MempoolConfig bounds what waits for a block; 0 is the default.
type MempoolConfig struct {
	Bytes     uint64 `toml:"bytes"`
	Count     uint64 `toml:"count"`
	PerSender uint64 `toml:"per_sender"`
}

// DefaultConfig is what a new home gets.
func DefaultConfig() Config {
	return Config{Moniker: "perdure", API: "127.0.0.1:26660", RPC: "127.0.0.1:26657", P2P: "0.0.0.0:26656",
		Peers: []string{}, Seeds: []string{}, EngineLog: "error"}
}

// configFile is the name of the config file in a home.
const configFile = "config.toml"

// LoadConfig reads the config of a home over the defaults.
func LoadConfig(home string) (Config, error) {
	path := filepath.Join(home, configFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read node config: %w", err)
	}
	c, err := parseConfig(string(raw))
	if err != nil {
		return Config{}, fmt.Errorf("read node config %s: %w", path, err)
	}
	return c, nil
}

func parseConfig(text string) (Config, error) {
	c := DefaultConfig()
	meta, err := toml.Decode(text, &c)
	if err != nil {
		return c, err
	}
	for _, key := range meta.Undecoded() {
		return c, fmt.Errorf("unknown key %q; did you mean %q?", key, nearest(key.String()))
	}
	return c, c.validate()
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
	return nil
}

// Save writes the config of a home, durably.
func (c Config) Save(home string) error {
	var b strings.Builder
	if err := toml.NewEncoder(&b).Encode(c); err != nil {
		return fmt.Errorf("write node config: %w", err)
	}
	return writeFile(filepath.Join(home, configFile), []byte(b.String()), 0o644)
}

// writeFile replaces a file so that it is never seen half written.
func writeFile(path string, b []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}

// nearest returns the valid config key with the fewest bytes to change.
func nearest(wrong string) string {
	best, least := "", 0
	for _, k := range configKeys(reflect.TypeFor[Config](), "") {
		if d := changes(wrong, k); best == "" || d < least {
			best, least = k, d
		}
	}
	return best
}

func configKeys(t reflect.Type, prefix string) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		name := prefix + f.Tag.Get("toml")
		if f.Type.Kind() == reflect.Struct {
			out = append(out, configKeys(f.Type, name+".")...)
			continue
		}
		out = append(out, name)
	}
	return out
}

// changes counts the bytes to insert, delete or change between two names.
func changes(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := corner
			if a[i] != b[j] {
				d++
			}
			corner = row[j+1]
			row[j+1] = min(d, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
