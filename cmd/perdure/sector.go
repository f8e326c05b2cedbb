package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// newSectorCommand returns the group of offline commands about sectors.
func newSectorCommand(g *globals) *cobra.Command {
	return newGroup("sector", "Seal, prove and check sectors offline",
		`Seal a sector in a directory, get its data back, prove that it was sealed or that
it is held, and check such proofs. Nothing here speaks to a network.`,
		newSectorSeal(g), newSectorUnseal(g), newSectorProve(g), newSectorVerify(g))
}

// bytes32 is a flag of 32 bytes in hex, as they are stored.
type bytes32 [32]byte

// String implements pflag.Value.
func (b *bytes32) String() string { return hex.EncodeToString(b[:]) }

// Type implements pflag.Value.
func (b *bytes32) Type() string { return "hex" }

// Set implements pflag.Value.
func (b *bytes32) Set(s string) error {
	raw, err := hex.DecodeString(s)
	if err != nil {
		return fmt.Errorf("want 64 hex digits: %w", err)
	}
	if len(raw) != len(b) {
		return fmt.Errorf("want 64 hex digits, got %d", len(s))
	}
	copy(b[:], raw)
	return nil
}

// hexFlag adds a flag of 32 bytes in hex.
func hexFlag(cmd *cobra.Command, value *bytes32, name, help string) {
	cmd.Flags().Var(value, name, help)
	cmd.Flags().Lookup(name).DefValue = ""
}

// require marks flags as required. The names are those of flags that exist.
func require(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
}

// writeOutput writes a file by a function, whole or not at all; - is standard output.
func writeOutput(cmd *cobra.Command, path string, write func(io.Writer) error) error {
	if path == "-" {
		return write(cmd.OutOrStdout())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := f.Chmod(0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
