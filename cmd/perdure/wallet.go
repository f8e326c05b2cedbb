package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/client"
)

// newWalletCommand returns the group of commands about keys and money.
func newWalletCommand(g *globals) *cobra.Command {
	return newGroup("wallet", "Keep keys, see and send money",
		`Keep keys, see and send money. Keys lie in HOME/keystore, one file each, encrypted
with the passphrase. Amounts are attoPDR, or PDR with the unit: 1500, 1.5PDR.`,
		newWalletNew(g), newWalletList(g), newWalletBalance(g), newWalletSend(g), newWalletExport(g), newWalletImport(g))
}

// addressJSON names a key.
type addressJSON struct {
	Address string `json:"address"`
}

// newWalletNew returns the command that makes a key.
func newWalletNew(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "new", Short: "Make a key and show its address", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := openKeystore(g)
			if err != nil {
				return err
			}
			a, err := keys.New()
			if err != nil {
				return err
			}
			return answer(cmd, g, addressJSON{g.address(a)})
		},
	}
}

// address writes an address in the form of test networks: offline commands do
// not know theirs, and both forms are read everywhere.
func (g *globals) address(a chain.Address) string { return chain.FormatAddress(a, chain.Testnet) }

// newWalletList returns the command that lists the keys.
func newWalletList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the addresses of the keys", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := wallet.Open(keystoreDir(g), "").List()
			if err != nil {
				return err
			}
			list := struct {
				Items []addressJSON `json:"items"`
			}{[]addressJSON{}}
			for _, a := range all {
				list.Items = append(list.Items, addressJSON{g.address(a)})
			}
			return answer(cmd, g, list)
		},
	}
}

// balanceJSON is an account, or the working balance of a miner.
type balanceJSON struct {
	Address string       `json:"address"`
	Balance chain.Amount `json:"balance"`         // attoPDR, free
	Human   string       `json:"human,omitempty"` // in PDR, beside the other in JSON
	Nonce   *uint64      `json:"nonce,omitempty"` // of an account
	Debt    chain.Amount `json:"debt,omitzero"`   // of a miner: fines that are not paid yet
}

// newWalletBalance returns the command that shows an account.
func newWalletBalance(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "balance [ADDRESS]", Short: "Show the money of an address or a miner", Args: cobra.MaximumNArgs(1),
		Long: `Show the money of an address, or what a miner has free; without an address that of --from, or
of the wallet's only key. What is locked in bids, deals and channels is in perdure funds status.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			text := g.From
			if len(args) == 1 {
				text = args[0]
			}
			return runWalletBalance(cmd, g, text)
		},
	}
}

func runWalletBalance(cmd *cobra.Command, g *globals, text string) error {
	a, err := wallet.Open(keystoreDir(g), "").Choose(text)
	if err != nil {
		return err
	}
	node, err := g.dial()
	if err != nil {
		return err
	}
	defer node.Close()
	b, err := balanceOf(cmd.Context(), node, a)
	if err != nil {
		return err
	}
	b.Address = g.address(a)
	if g.JSON {
		b.Human = b.Balance.Human()
	}
	return answer(cmd, g, b)
}

// balanceOf reads what an account or a miner has.
func balanceOf(ctx context.Context, node client.Node, a chain.Address) (*balanceJSON, error) {
	id, err := chain.MinerIDOf(a)
	if err != nil {
		acc, err := node.Account(ctx, a)
		if err != nil {
			return nil, err
		}
		return &balanceJSON{Balance: acc.Balance, Nonce: &acc.Nonce}, nil
	}
	var m chain.Miner
	known, err := node.Record(ctx, chain.MinerKey(id), &m)
	if err == nil && !known {
		err = fmt.Errorf("there is no miner %s", chain.FormatMiner(id, chain.Testnet))
	}
	return &balanceJSON{Balance: m.Balance, Debt: m.Debt}, err
}

// sentJSON is a message that landed.
type sentJSON struct {
	Hash   string       `json:"hash"`
	Height chain.Height `json:"height"`
	Fee    chain.Amount `json:"fee"`          // attoPDR
	ID     uint64       `json:"id,omitempty"` // of what the message made
}

// newWalletSend returns the command that transfers money.
func newWalletSend(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "send ADDRESS AMOUNT", Short: "Send money to an address or a miner", Args: cobra.ExactArgs(2),
		Long: `Send money to a key's address or, as working balance, to a miner, and wait until
the transfer is in a block.`,
		Example: "  perdure wallet send t01000 2.5PDR",
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := chain.ParseAddress(args[0])
			if err != nil {
				return usage(err)
			}
			amount, err := chain.ParseAmount(args[1])
			if err != nil {
				return usage(err)
			}
			return send(cmd, g, &chain.Transfer{To: to, Amount: amount})
		},
	}
}

// send signs a message with the wallet, waits for its block and says so.
func send(cmd *cobra.Command, g *globals, body chain.Body) error {
	node, err := g.dial()
	if err != nil {
		return err
	}
	defer node.Close()
	sender, err := openSender(g, node)
	if err != nil {
		return err
	}
	in, err := sender.Send(cmd.Context(), body)
	if err != nil {
		return err
	}
	r := in.Receipt
	return answer(cmd, g, sentJSON{chain.Hash(r.Hash).String(), in.Height, r.Fee, r.ID})
}

// newWalletExport returns the command that shows a private key.
func newWalletExport(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "export ADDRESS", Short: "Show a private key, as Filecoin wallets exchange it", Args: cobra.ExactArgs(1),
		Long: "Show a private key, as Filecoin wallets exchange it. Whoever has it has the money.",
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := openKeystore(g)
			if err != nil {
				return err
			}
			a, err := chain.ParseAddress(args[0])
			if err != nil {
				return usage(err)
			}
			raw, err := keys.Key(a)
			if err != nil {
				return err
			}
			text, err := wallet.FormatKey(raw)
			if err != nil {
				return err
			}
			if g.JSON {
				return writeJSON(cmd, map[string]string{"address": g.address(a), "key": text})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
			return err
		},
	}
}

// maxKeyText bounds what wallet import reads.
const maxKeyText = 4096

// newWalletImport returns the command that stores a private key.
func newWalletImport(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Short: "Store a private key from a file, - for standard input", Args: cobra.ExactArgs(1),
		Long: `Store a private key: what wallet export writes, key-info JSON of Filecoin wallets, or
64 hexadecimal digits. FILE may be - for standard input.`,
		RunE: func(cmd *cobra.Command, args []string) error { return runWalletImport(cmd, g, args[0]) },
	}
}

func runWalletImport(cmd *cobra.Command, g *globals, path string) error {
	in, err := openInput(cmd, path)
	if err != nil {
		return err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxKeyText))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	raw, err := wallet.ParseKey(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	keys, err := openKeystore(g)
	if err != nil {
		return err
	}
	a, err := keys.Import(raw)
	if err != nil {
		return err
	}
	return answer(cmd, g, addressJSON{g.address(a)})
}
