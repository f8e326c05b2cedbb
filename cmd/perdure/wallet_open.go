package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/wallet"
)

// keystoreDir is where the keys of --home lie.
func keystoreDir(g *globals) string { return filepath.Join(g.Home, "keystore") }

// passphrase returns the keystore's passphrase: from --passphrase-file, else
// from the environment, else as it is typed on the terminal.
func passphrase(g *globals) (string, error) {
	if g.PassphraseFile != "" {
		raw, err := os.ReadFile(g.PassphraseFile)
		if err != nil {
			return "", fmt.Errorf("read passphrase: %w", err)
		}
		return checkPassphrase(strings.TrimRight(string(raw), "\r\n"), g.PassphraseFile)
	}
	if text, ok := os.LookupEnv(passphraseEnv); ok {
		return checkPassphrase(text, passphraseEnv)
	}
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		return "", errors.New("no passphrase: give --passphrase-file or set " + passphraseEnv)
	}
	fmt.Fprint(os.Stderr, "Passphrase of the wallet: ")
	raw, err := term.ReadPassword(in)
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return "", fmt.Errorf("read passphrase: %w", err)
	}
	return checkPassphrase(string(raw), "the terminal")
}

func checkPassphrase(text, from string) (string, error) {
	if text == "" {
		return "", fmt.Errorf("the passphrase from %s is empty", from)
	}
	return text, nil
}

// openKeystore opens the wallet of --home with the passphrase. Whether it is
// the right one shows when a key is read.
func openKeystore(g *globals) (*wallet.Keystore, error) {
	if g.Home == "" {
		return nil, errors.New("no home directory: give --home")
	}
	text, err := passphrase(g)
	if err != nil {
		return nil, err
	}
	return wallet.Open(keystoreDir(g), text), nil
}

// openKey returns the private key of --from, or the wallet's only key.
func openKey(g *globals) ([]byte, error) {
	a, err := wallet.Open(keystoreDir(g), "").Choose(g.From) // no passphrase is asked for what is not there
	if err != nil {
		return nil, err
	}
	keys, err := openKeystore(g)
	if err != nil {
		return nil, err
	}
	return keys.Key(a)
}

// openSender returns a sender for --from, or for the wallet's only key.
func openSender(g *globals, node wallet.Node) (*wallet.Sender, error) {
	key, err := openKey(g)
	if err != nil {
		return nil, err
	}
	return wallet.NewSender(node, key, chain.Amount{})
}
