package scale

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/chain/state/proof"
)

// senders is how many accounts sign messages: the first, each of which pays the
// channel of its number.
func (s *Size) senders() uint64 { return min(1000, s.Accounts, s.Channels) }

// Mix is what a block on top has.
type Mix string

// The mixes.
const (
	Empty     Mix = "empty"     // nothing
	Transfers Mix = "transfers" // transfers between accounts
	Orders    Mix = "orders"    // bids that trade with the asks at rest, some blocks later
	Mixed     Mix = "mixed"     // half transfers; bids that trade, channels, settled deals
)

// Mixes lists them.
func Mixes() []Mix { return []Mix{Empty, Transfers, Orders, Mixed} }

// proposer is the consensus address of the one validator.
func (c *Chain) proposer() []byte { return consensus.ConsensusAddress(key("validator", 0)) }

// Messages signs so many messages for the next block, each of another sender.
func (c *Chain) Messages(mix Mix, n int) ([][]byte, error) {
	if mix == Empty {
		return nil, nil
	}
	senders := c.Size.senders()
	if uint64(n) > senders {
		return nil, fmt.Errorf("%d messages a block: there are %d senders", n, senders)
	}
	h := c.Store.View().Height() + 1
	out := make([][]byte, n)
	for i := range out {
		of := uint64(h)*uint64(n) + uint64(i)
		body, err := c.body(mix, h, of)
		if err == nil {
			out[i], err = c.sign(of%senders, body)
		}
		if err != nil {
			return nil, fmt.Errorf("message %d of block %d: %w", i, h, err)
		}
	}
	return out, nil
}

// body is the content of message i of all.
func (c *Chain) body(mix Mix, h chain.Height, i uint64) (chain.Body, error) {
	kind := i % 10
	switch {
	case mix == Orders, mix == Mixed && kind >= 5 && kind < 7:
		return &chain.PlaceBid{Terms: *c.bid(2*c.Size.Deals+c.Size.Orders+i, 3000, h+10_000)}, nil
	case mix == Mixed && kind == 7:
		to, err := c.account((i + 1) % c.Size.senders())
		return &chain.OpenChannel{Payee: to, Amount: chain.Atto(1_000_000)}, err
	case mix == Mixed && kind == 8:
		return &chain.TopUpChannel{Channel: 1 + i%c.Size.senders(), Amount: chain.Atto(1000)}, nil
	case mix == Mixed && kind == 9:
		return &chain.SettleDeals{Deals: []uint64{1 + i*7919%max(1, c.Size.Deals/100)*100}}, nil // an active one
	}
	to, err := c.account(i * 7919 % c.Size.Accounts)
	return &chain.Transfer{To: to, Amount: chain.Atto(1 + i)}, err
}

func (c *Chain) sign(sender uint64, b chain.Body) ([]byte, error) {
	from, err := c.account(sender)
	if err != nil {
		return nil, err
	}
	raw, err := c.Store.View().Record(chain.AccountKey(from))
	if err != nil {
		return nil, err
	}
	var a chain.Account
	if err := chain.Decode(raw, &a); err != nil {
		return nil, err
	}
	body, err := chain.Encode(b)
	if err != nil {
		return nil, err
	}
	m := chain.Message{Version: chain.MessageVersion, From: from, Nonce: a.Nonce, MaxFee: chain.PDR(1), Kind: b.Kind(), Body: body}
	text, err := m.SignBytes(ChainID)
	if err != nil {
		return nil, err
	}
	signature, err := chain.Sign(key("account", sender), text)
	if err != nil {
		return nil, err
	}
	return chain.Encode(&chain.SignedMessage{Message: m, Signature: signature})
}

// Play keeps a block of messages, then executes and commits it: whoever sees a
// block committed finds its messages.
func (c *Chain) Play(ctx context.Context, messages [][]byte) error {
	tip := c.Store.View()
	global, err := tip.Global()
	if err != nil {
		return err
	}
	h := tip.Height() + 1
	if err := c.keep(h, messages); err != nil {
		return fmt.Errorf("keep the messages of block %d: %w", h, err)
	}
	return c.app.Play(ctx, h, time.Unix(int64(global.Time+blockTime), 0), c.proposer(), messages)
}

// blocksDir has a file of messages for each block on top, named by its height.
func (c *Chain) blocksDir() string { return filepath.Join(c.dir, "blocks") }

func (c *Chain) blockPath(h chain.Height) string {
	return filepath.Join(c.blocksDir(), strconv.FormatUint(uint64(h), 10))
}

// keep writes the messages of a block: all of them under its name, or nothing.
// They are worth no sync: what a machine that stops loses is found by sweep.
func (c *Chain) keep(h chain.Height, messages [][]byte) error {
	next := filepath.Join(c.blocksDir(), "next")
	file, err := os.Create(next)
	if err != nil {
		return err
	}
	if err := errors.Join(gob.NewEncoder(file).Encode(messages), file.Close()); err != nil {
		return err
	}
	return os.Rename(next, c.blockPath(h))
}

// sweep removes what a run that was stopped left among the messages: those of a
// block that was not committed, and what is cut off. A committed block that loses
// its messages so is one that is not kept: an index does without them.
func (c *Chain) sweep() error {
	files, err := os.ReadDir(c.blocksDir())
	if err != nil {
		return err
	}
	for _, file := range files {
		why := c.whole(file.Name())
		if unreadable := new(fs.PathError); why == nil || errors.As(why, &unreadable) {
			err = errors.Join(err, why)
			continue
		}
		c.log("%s is removed: %v", filepath.Join(c.blocksDir(), file.Name()), why)
		err = errors.Join(err, os.Remove(filepath.Join(c.blocksDir(), file.Name())))
	}
	return err
}

// whole says what is wrong with a file of messages.
func (c *Chain) whole(name string) error {
	h, err := strconv.ParseUint(name, 10, 63)
	if err != nil {
		return errors.New("it is of no block")
	}
	if tip := c.Store.View().Height(); chain.Height(h) > tip {
		return fmt.Errorf("the chain ends at height %d", tip)
	}
	_, err = c.block(chain.Height(h))
	return err
}

// block returns the messages of the block of a height: nil if they are not kept,
// as those of the state are not.
func (c *Chain) block(h chain.Height) ([][]byte, error) {
	raw, err := os.ReadFile(c.blockPath(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	messages := [][]byte{}
	if err := gob.NewDecoder(bytes.NewReader(raw)).Decode(&messages); err != nil {
		return nil, fmt.Errorf("messages of block %d: %w", h, err)
	}
	return messages, nil
}

// Backend is a chain as the explorer's node.
type Backend struct{ *Chain }

// Params implements explorer.Backend.
func (b Backend) Params() *consensus.Params { return b.Chain.Params }

// Store implements explorer.Backend.
func (b Backend) Store() *state.Store { return b.Chain.Store }

// Messages implements explorer.Backend.
func (b Backend) Messages(_ context.Context, h chain.Height) ([][]byte, error) { return b.block(h) }

// Votes implements explorer.Backend: the one validator is for every block.
func (b Backend) Votes(_ context.Context, h chain.Height) (*index.Commit, error) {
	if h == 0 || h >= b.Chain.Store.View().Height() {
		return nil, nil // the next block brings them
	}
	return &index.Commit{For: [][]byte{b.proposer()}}, nil
}

// errNoEngine is returned for what needs the engine.
var errNoEngine = errors.New("this chain has no engine")

// Submit implements explorer.Backend.
func (b Backend) Submit(context.Context, []byte) error { return errNoEngine }

// Prove implements explorer.Backend.
func (b Backend) Prove(context.Context, chain.Key, chain.Height) (*proof.Bundle, error) {
	return nil, errNoEngine
}

// Synced implements explorer.Backend.
func (b Backend) Synced() bool { return true }

// Peers implements explorer.Backend.
func (b Backend) Peers() int { return 0 }
