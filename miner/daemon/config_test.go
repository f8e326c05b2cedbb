package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perdure/perdure/miner/sealing"
	"github.com/perdure/perdure/porep/seal"
)

func TestSealingConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	text := `[sealing]
parallel = 4
workers = 2
memory = "8GiB"
scratch = "1TiB"
layers_in_memory = 1
parents = "/cache"
keep_last_layer = true
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	var got sealing.Config
	if err := cfg.Sealing.limits(&got); err != nil {
		t.Fatal(err)
	}
	want := sealing.Config{Parallel: 4, Workers: 2, Memory: 8 << 30, Scratch: 1 << 40, LayersInMemory: 1,
		Parents: "/cache", Keep: seal.Keep{LastLayer: true}}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if cfg.Sealing.Reserve != DefaultConfig().Sealing.Reserve {
		t.Errorf("reserve is %q, not the default", cfg.Sealing.Reserve)
	}
}

func TestBadSealingConfig(t *testing.T) {
	for says, cfg := range map[string]SealingConfig{
		"sealing.memory: size":                        {Memory: "much"},
		"sealing.scratch: size":                       {Scratch: "8 bytes"},
		"sealing.layers_in_memory: 3, want 0, 1 or 2": {LayersInMemory: 3},
		"sealing.parallel: -1":                        {Parallel: -1},
		"sealing.workers: -1":                         {Workers: -1},
	} {
		if err := cfg.limits(new(sealing.Config)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte("[sealing]\nscrach = \"1GiB\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadConfig(path); err == nil || !strings.Contains(err.Error(), "scratch") {
		t.Errorf("a key with an error in it: %v", err)
	}
}
