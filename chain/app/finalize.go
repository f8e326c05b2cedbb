package app

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
	"github.com/filecoin-project/go-address"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/mempool"
)

// FinalizeBlock implements abci.Application: it computes the block and stages
// its state. It is total: every list of bytes has a defined result.
func (a *App) FinalizeBlock(_ context.Context, req *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	v, err := a.over(req.Height)
	if err != nil {
		return nil, a.fail(fmt.Errorf("finalize: %w", err))
	}
	b := blockOf(req.Height, req.Time, req.ProposerAddress, req.Misbehavior, req.Txs)
	update, results, err := a.execute(v, b)
	if err != nil {
		return nil, a.fail(fmt.Errorf("finalize height %d: %w", req.Height, err))
	}
	hash, err := a.store.Stage(update)
	if err != nil {
		return nil, a.fail(fmt.Errorf("finalize: %w", err))
	}
	votes, err := changedVotes(v, update)
	if err != nil {
		return nil, a.fail(fmt.Errorf("finalize height %d: %w", req.Height, err))
	}
	engine, err := changedParams(update)
	if err != nil {
		return nil, a.fail(fmt.Errorf("finalize height %d: %w", req.Height, err))
	}
	a.finalized = update
	return &abci.ResponseFinalizeBlock{AppHash: hash, ValidatorUpdates: votes, ConsensusParamUpdates: engine,
		TxResults: txResults(a.params, len(req.Txs), results)}, nil
}

// evidenceBytes is the room for evidence in a block of CometBFT's.
const evidenceBytes = 1 << 18

// EvidenceParams is for how long CometBFT takes evidence under these parameters.
func EvidenceParams(p *consensus.Params) types.EvidenceParams {
	return types.EvidenceParams{MaxAgeNumBlocks: int64(p.EvidenceAge), MaxBytes: evidenceBytes,
		MaxAgeDuration: time.Duration(p.EvidenceAge*p.BlockMillis) * time.Millisecond}
}

// changedParams hands over what CometBFT must know of parameters that a block has
// changed; both are in force from the next block on.
func changedParams(u *consensus.Update) (*cmtproto.ConsensusParams, error) {
	for i := range u.Changes {
		c := &u.Changes[i]
		if c.Key() != chain.ParamsKey() || c.Value == nil {
			continue
		}
		p := new(consensus.Params)
		if err := chain.Decode(c.Value, p); err != nil {
			return nil, fmt.Errorf("decode parameters: %w", err)
		}
		e := EvidenceParams(p)
		return &cmtproto.ConsensusParams{Evidence: &cmtproto.EvidenceParams{MaxAgeNumBlocks: e.MaxAgeNumBlocks,
			MaxAgeDuration: e.MaxAgeDuration, MaxBytes: e.MaxBytes}}, nil
	}
	return nil, nil
}

// Commit implements abci.Application: the staged state becomes the newest one,
// and the mempool forgets what it overtook.
func (a *App) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	if err := a.store.Commit(); err != nil {
		return nil, a.fail(err)
	}
	v, err := a.tip()
	if err != nil {
		return nil, a.fail(err)
	}
	if err := a.afterCommit(a.finalized); err != nil {
		return nil, a.fail(fmt.Errorf("commit height %d: mempool: %w", v.Height(), err))
	}
	r := &abci.ResponseCommit{}
	if a.retain != nil {
		r.RetainHeight = int64(a.retain(v.Height()))
	}
	return r, nil
}

// afterCommit tells counters and mempool of the block that was committed.
func (a *App) afterCommit(u *consensus.Update) error {
	a.finalized = nil
	a.rehearsals.forget()
	a.strikes.forgive()
	a.counters.block(u)
	b := &mempool.Block{Height: u.Height, Accounts: map[chain.Address]mempool.Account{}}
	for _, r := range u.Receipts {
		b.Included = append(b.Included, r.Hash)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range u.Changes {
		if err := a.tell(b, &u.Changes[i]); err != nil {
			return err
		}
	}
	a.pool.Committed(b)
	a.counters.leftOut.Add(uint64(a.pool.LeftOut()))
	return nil
}

// tell notes what of a change the mempool wants to know.
func (a *App) tell(b *mempool.Block, c *consensus.Change) error {
	switch {
	case c.Table == chain.TableGlobal:
		var g chain.Global
		if err := chain.Decode(c.Value, &g); err != nil {
			return fmt.Errorf("decode global: %w", err)
		}
		b.BaseFee = g.BaseFee
	case c.Table == chain.TableReplay && c.Value != nil:
		b.Proven = append(b.Proven, c.Key())
	case c.Table == chain.TableAccount:
		from, err := address.NewFromBytes(c.ID)
		if err != nil {
			return fmt.Errorf("account %x: %w", c.ID, err)
		}
		if !a.pool.Waits(from) {
			return nil
		}
		if b.Accounts[from], err = decodeAccount(c.Value); err != nil {
			return err
		}
	}
	return nil
}

// accountOf reads what the mempool needs of an account.
func accountOf(v consensus.View, from chain.Address) (mempool.Account, error) {
	raw, err := v.Record(chain.AccountKey(from))
	if err != nil {
		return mempool.Account{}, err
	}
	return decodeAccount(raw)
}

// decodeAccount decodes an account's record; nil is an unused account.
func decodeAccount(raw []byte) (mempool.Account, error) {
	var acc chain.Account
	if raw == nil {
		return mempool.Account{}, nil
	}
	if err := chain.Decode(raw, &acc); err != nil {
		return mempool.Account{}, fmt.Errorf("decode account: %w", err)
	}
	return mempool.Account{Nonce: acc.Nonce, Free: acc.Balance}, nil
}

// txResults makes one result for each transaction of the block.
func txResults(p *consensus.Params, txs int, results []consensus.Result) []*abci.ExecTxResult {
	out := make([]*abci.ExecTxResult, 0, txs)
	if txs > len(results) {
		out = append(out, &abci.ExecTxResult{}) // the contribution
	}
	for i := range results {
		r := &results[i]
		x := &abci.ExecTxResult{Code: uint32(r.Code), Log: r.Error, GasWanted: int64(r.Units), GasUsed: int64(r.Units)}
		if r.ID != 0 {
			x.Data = binary.BigEndian.AppendUint64(nil, r.ID)
		}
		if hasEffect(r) {
			x.Events = []abci.Event{messageEvent(p, r)}
		}
		out = append(out, x)
	}
	return out
}

// messageEvent is what subscribers of CometBFT's websocket select messages by:
// message.kind='Transfer', message.sender='t1...', message.id=7.
func messageEvent(p *consensus.Params, r *consensus.Result) abci.Event {
	e := abci.Event{Type: "message", Attributes: []abci.EventAttribute{{Key: "kind", Value: r.Kind.String(), Index: true}}}
	e.Attributes = append(e.Attributes, abci.EventAttribute{Key: "sender", Value: chain.FormatAddress(r.From, p.Network), Index: true})
	if r.ID != 0 {
		e.Attributes = append(e.Attributes, abci.EventAttribute{Key: "id", Value: strconv.FormatUint(r.ID, 10), Index: true})
	}
	return e
}

// changedVotes hands over the set that votes two heights after a block, if it
// is another than that of the height between.
func changedVotes(v consensus.View, u *consensus.Update) ([]abci.ValidatorUpdate, error) {
	after := overlay{v, map[chain.Key][]byte{}}
	for _, c := range u.Changes {
		after.changed[c.Key()] = c.Value
	}
	next, err := consensus.Voters(after, u.Height+1)
	if err != nil {
		return nil, err
	}
	then, err := consensus.Voters(after, u.Height+2)
	if err != nil {
		return nil, err
	}
	return validatorUpdates(next, then), nil
}

// overlay reads the state that an Update leaves.
type overlay struct {
	before  consensus.View
	changed map[chain.Key][]byte
}

// Record implements what consensus.Voters reads from.
func (o overlay) Record(k chain.Key) ([]byte, error) {
	if raw, ok := o.changed[k]; ok {
		return raw, nil
	}
	return o.before.Record(k)
}

// validatorUpdates lists new and changed votes, then removed ones, each in the
// order of its set.
func validatorUpdates(before, after []chain.Validator) []abci.ValidatorUpdate {
	was, is := map[string]uint64{}, map[string]bool{}
	for _, v := range before {
		was[string(v.PubKey)] = v.Power
	}
	var out []abci.ValidatorUpdate
	for _, v := range after {
		is[string(v.PubKey)] = true
		if power, known := was[string(v.PubKey)]; !known || power != v.Power {
			out = append(out, abci.UpdateValidator(v.PubKey, int64(v.Power), ed25519.KeyType))
		}
	}
	for _, v := range before {
		if !is[string(v.PubKey)] {
			out = append(out, abci.UpdateValidator(v.PubKey, 0, ed25519.KeyType))
		}
	}
	return out
}
