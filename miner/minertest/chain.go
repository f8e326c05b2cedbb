// Package minertest is a chain for the tests of miners: the real rules over the
// real state, in memory, without an engine. Sending a message makes a block
// with it; Advance makes empty ones.
package minertest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state"
)

// Chain implements miner.Chain and, as the miner's worker, miner.Sender and
// proving.Submitter.
type Chain struct {
	t      *testing.T
	params *consensus.Params
	store  *state.Store
	mu     sync.Mutex

	Miner  chain.MinerID // made with 2 KiB sectors and money
	Worker chain.Address
	Client chain.Address
	// Refuse, if set, answers Send in place of the chain.
	Refuse func(chain.Body) error
	// Sent counts the messages that landed, by kind.
	Sent map[chain.Kind]int
}

func key(n byte) []byte { return bytes.Repeat([]byte{n}, chain.PrivateKeySize) }

const (
	workerKey = 1
	clientKey = 2
)

// New starts a chain with one miner, on which nothing is issued and asks stake
// what they like. change adjusts its parameters.
func New(t *testing.T, change func(*consensus.Params)) *Chain {
	t.Helper()
	p := consensus.Devnet()
	p.ChainID = "minertest"
	p.IssuanceTotal, p.CollateralSpan = chain.Amount{}, 0
	if change != nil {
		change(p)
	}
	c := &Chain{t: t, params: p, Sent: map[chain.Kind]int{}}
	c.Worker, c.Client = c.address(workerKey), c.address(clientKey)
	store, err := state.Open(state.Config{Dir: "state", Params: p, FS: vfs.NewMem()})
	c.must(err)
	c.store = store
	t.Cleanup(func() { c.must(store.Close()) })
	g := &consensus.Genesis{Params: *p, Accounts: []consensus.GenesisAccount{
		{Address: c.Worker.String(), Balance: chain.PDR(1_000_000)},
		{Address: c.Client.String(), Balance: chain.PDR(1_000_000)},
	}, Validators: []consensus.GenesisValidator{{PubKey: make([]byte, 32), Power: 1, Reward: c.Worker.String()}}}
	u, err := consensus.GenesisUpdate(g)
	c.must(err)
	_, err = store.Genesis(u)
	c.must(err)
	r := c.MustSend(workerKey, &chain.CreateMiner{
		Keys:      chain.Keys{Owner: c.Worker, Worker: c.Worker, Beneficiary: c.Worker},
		SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1, Fund: chain.PDR(100_000),
	})
	c.Miner = r.ID
	return c
}

func (c *Chain) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *Chain) address(n byte) chain.Address {
	a, err := chain.AddressOfKey(key(n))
	c.must(err)
	return a
}

// block applies one block and commits it.
func (c *Chain) block(messages ...[]byte) ([]consensus.Result, error) {
	view := c.store.View()
	u, results, err := consensus.Apply(c.params, view, consensus.Direct{}, &consensus.Block{Height: view.Height() + 1, Messages: messages})
	if err != nil {
		return nil, err
	}
	if _, err := c.store.Stage(u); err != nil {
		return nil, err
	}
	return results, c.store.Commit()
}

// Advance makes n empty blocks.
func (c *Chain) Advance(n int) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		_, err := c.block()
		c.must(err)
	}
}

// Height is the newest height.
func (c *Chain) Height() chain.Height { return c.store.View().Height() }

func (c *Chain) send(n byte, body chain.Body) (*consensus.Receipt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := c.address(n)
	var acc chain.Account
	if _, err := c.record(chain.AccountKey(from), &acc); err != nil {
		return nil, err
	}
	if body.Kind() == chain.KindSubmitWindowProof {
		acc.Nonce = 0
	}
	raw, err := chain.Encode(body)
	if err != nil {
		return nil, err
	}
	m := chain.Message{Version: chain.MessageVersion, From: from, Nonce: acc.Nonce, MaxFee: chain.PDR(100), Kind: body.Kind(), Body: raw}
	text, err := m.SignBytes(c.params.ChainID)
	if err != nil {
		return nil, err
	}
	sig, err := chain.Sign(key(n), text)
	if err != nil {
		return nil, err
	}
	tx, err := chain.Encode(&chain.SignedMessage{Message: m, Signature: sig})
	if err != nil {
		return nil, err
	}
	results, err := c.block(tx)
	if err != nil {
		return nil, err
	}
	r := results[0]
	if r.Code != consensus.CodeOK {
		return nil, &consensus.Refusal{Code: r.Code, Text: r.Error}
	}
	c.Sent[body.Kind()]++
	return &consensus.Receipt{Hash: r.Hash, Kind: r.Kind, ID: r.ID, Fee: r.Fee, Units: r.Units}, nil
}

// MustSend lands a message of the worker (1) or the client (2).
func (c *Chain) MustSend(n byte, body chain.Body) *consensus.Receipt {
	c.t.Helper()
	r, err := c.send(n, body)
	c.must(err)
	return r
}

// AsClient lands a message of the client.
func (c *Chain) AsClient(body chain.Body) *consensus.Receipt {
	c.t.Helper()
	return c.MustSend(clientKey, body)
}

// Send implements miner.Sender.
func (c *Chain) Send(ctx context.Context, body chain.Body) (*consensus.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.Refuse != nil {
		if err := c.Refuse(body); err != nil {
			return nil, err
		}
	}
	return c.send(workerKey, body)
}

// SubmitProof implements proving.Submitter.
func (c *Chain) SubmitProof(ctx context.Context, p *chain.SubmitWindowProof, _ int) (*consensus.Receipt, error) {
	return c.Send(ctx, p)
}

// Params implements miner.Chain.
func (c *Chain) Params(context.Context) (*consensus.Params, error) { return c.params, nil }

// Global implements miner.Chain.
func (c *Chain) Global(context.Context) (*chain.Global, error) { return c.store.View().Global() }

func (c *Chain) record(k chain.Key, into chain.CBOR) (bool, error) {
	raw, err := c.store.View().Record(k)
	if err != nil || raw == nil {
		return false, err
	}
	return true, chain.Decode(raw, into)
}

// Record implements miner.Chain.
func (c *Chain) Record(_ context.Context, k chain.Key, into chain.CBOR) (bool, error) {
	return c.record(k, into)
}

// Read reads a record that must be there.
func (c *Chain) Read(k chain.Key, into chain.CBOR) {
	c.t.Helper()
	ok, err := c.record(k, into)
	if err == nil && !ok {
		err = errors.New("no such record: " + k.Table.String())
	}
	c.must(err)
}

// Updates returns the Updates from a height on.
func (c *Chain) Updates(from chain.Height) []*consensus.Update {
	c.t.Helper()
	var out []*consensus.Update
	for h := from; h <= c.Height(); h++ {
		raw, err := c.store.Update(h)
		c.must(err)
		u := new(consensus.Update)
		c.must(chain.Decode(raw, u))
		out = append(out, u)
	}
	return out
}

// Follow implements miner.Chain over what is there now.
func (c *Chain) Follow(ctx context.Context, from chain.Height, each func(*consensus.Update) error) error {
	for _, u := range c.Updates(from) {
		if err := each(u); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}
