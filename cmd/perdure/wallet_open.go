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
// from the environment, else as it is typed on the terminal, twice for a wallet
// without keys.
func passphrase(g *globals, first bool) (string, error) {
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
	return typedPassphrase(func(prompt string) (string, error) {
		fmt.Fprint(os.Stderr, prompt)
		raw, err := term.ReadPassword(in)
		fmt.Fprintln(os.Stderr)
		return string(raw), err
	}, first)
}

// typedPassphrase asks for a passphrase; for the first key twice, since a slip
// would lose that key.
func typedPassphrase(read func(prompt string) (string, error), first bool) (string, error) {
	text, err := read("Passphrase of the wallet: ")
	if err != nil {
		return "", fmt.Errorf("read passphrase: %w", err)
	}
	if text, err = checkPassphrase(text, "the terminal"); err != nil || !first {
		return text, err
	}
	again, err := read("The same once more: ")
	switch {
	case err != nil:
		return "", fmt.Errorf("read passphrase: %w", err)
	case again != text:
		return "", errors.New("the two passphrases differ")
	}
	return text, nil
}

func checkPassphrase(text, from string) (string, error) {
	if text == "" {
		return "", fmt.Errorf("the passphrase from %s is empty", from)
	}
	return text, nil
}

// openKeystore opens the wallet of --home with the passphrase. Whether it is
// the right one shows when a key is read or made.
func openKeystore(g *globals) (*wallet.Keystore, error) {
	if g.Home == "" {
		return nil, errors.New("no home directory: give --home")
	}
	all, err := wallet.Open(keystoreDir(g), "").List()
	if err != nil {
		return nil, err
	}
	text, err := passphrase(g, len(all) == 0)
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
