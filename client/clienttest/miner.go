package clienttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/ledger"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/segment"
	"github.com/perdure/perdure/retrieval/seller"
)

// Miner fetches what it matched, proves it as far as the chain asks, and sells it.
type Miner struct {
	ID   chain.MinerID
	Host *p2p.Host

	t        testing.TB
	dir      string
	chain    *Chain
	sender   *wallet.Sender
	fetcher  *buyer.Buyer
	seller   *seller.Seller
	redeemer *seller.Redeemer
	ledger   *ledger.Ledger

	done map[uint64]bool // deals worked on
	next uint64          // sector number
}

// ChunkPrice is what a miner asks for a chunk, attoPDR.
var ChunkPrice = chain.Atto(1_000_000_000_000)

// NewMiner puts a miner with an ask on the chain. n counts miners from 0. The
// chain must be making blocks.
func NewMiner(t testing.TB, c *Chain, n int, price chain.Amount) *Miner {
	t.Helper()
	m := &Miner{t: t, dir: t.TempDir(), chain: c, done: map[uint64]bool{}}
	identity, err := p2p.LoadIdentity(filepath.Join(m.dir, "identity"))
	c.must(err)
	m.ledger, err = ledger.Open(filepath.Join(m.dir, "ledger"), ledger.Options{})
	c.must(err)
	t.Cleanup(func() { c.must(m.ledger.Close()) })
	m.Host, err = p2p.New(p2p.Config{Identity: identity, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	c.must(err)
	t.Cleanup(func() { c.must(m.Host.Close()) }) // before the ledger: its sessions write there until they end
	m.sender, err = wallet.NewSender(c, Key(byte(firstMinerKey+n)), chain.Amount{})
	c.must(err)
	me := m.sender.Address()
	in, err := m.sender.Send(context.Background(), &chain.CreateMiner{
		Keys: chain.Keys{Owner: me, Worker: me, Beneficiary: me}, Peer: m.Host.Self(),
		SealProof: abi.RegisteredSealProof_StackedDrg8MiBV1_1, Fund: chain.PDR(10_000),
	})
	c.must(err)
	m.ID = in.Receipt.ID
	m.open(price)
	return m
}

// open begins to trade and to sell.
func (m *Miner) open(price chain.Amount) {
	g, err := m.chain.Global(context.Background())
	m.chain.must(err)
	p := m.chain.params
	_, err = m.sender.Send(context.Background(), &chain.PlaceAsk{Terms: chain.AskTerms{
		Miner: m.ID, Price: price, Capacity: 64 << 20, MinPiece: 128, MaxPiece: 8 << 20,
		MinDuration: p.MinDuration, MaxDuration: p.MaxDuration(), Expiry: g.Height + chain.Height(p.MaxOrderLife) - 10,
	}})
	m.chain.must(err)
	m.fetcher, err = buyer.New(buyer.Config{ChainID: p.ChainID, Dialer: m.Host})
	m.chain.must(err)
	payee := m.sender.Address()
	m.seller, err = seller.New(seller.Config{ChainID: p.ChainID, Source: m, Chain: m, Ledger: m.ledger, Miner: m.ID,
		Prices: seller.Terms{Access: seller.Paid, Payee: &payee, Price: ChunkPrice}, SettleDelay: p.SettleDelay})
	m.chain.must(err)
	m.redeemer, err = seller.NewRedeemer(seller.RedeemConfig{ChainID: p.ChainID, Ledger: m.ledger, Chain: m, Submit: m,
		Active: m.seller.Active, SettleDelay: p.SettleDelay})
	m.chain.must(err)
	m.Host.Serve(m.seller.Handle)
}

// Receipts are those of its buyers that no earlier call returned.
func (m *Miner) Receipts() []chain.SignedReceipt {
	b, err := m.ledger.MakeBatch(1<<40, 1_000)
	m.chain.must(err)
	if b == nil {
		return nil
	}
	leaves, err := m.ledger.Leaves(b.Number)
	m.chain.must(err)
	m.chain.must(m.ledger.SetBatch(b.Number, ledger.BatchRefused))
	out := make([]chain.SignedReceipt, len(leaves))
	for i, leaf := range leaves {
		m.chain.must(chain.Decode(leaf, &out[i]))
	}
	return out
}

// Redeem takes what was earned to the chain.
func (m *Miner) Redeem(ctx context.Context) error {
	_, err := m.redeemer.Check(ctx)
	return err
}

// Submit implements seller.Submitter.
func (m *Miner) Submit(ctx context.Context, body chain.Body) error {
	_, err := m.sender.Send(ctx, body)
	return err
}

// Channel implements seller.Chain.
func (m *Miner) Channel(ctx context.Context, id uint64) (*chain.Channel, error) {
	ch := new(chain.Channel)
	ok, err := m.chain.Record(ctx, chain.ChannelKey(id), ch)
	if err != nil || !ok {
		return nil, err
	}
	return ch, nil
}

// Height implements seller.Chain.
func (m *Miner) Height(ctx context.Context) (chain.Height, error) {
	g, err := m.chain.Global(ctx)
	if err != nil {
		return 0, err
	}
	return g.Height, nil
}

// Find implements seller.Source.
func (m *Miner) Find(_ context.Context, root cid.Cid, _ uint64) (seller.Content, error) {
	for _, d := range m.chain.Deals() {
		if d.PayloadRoot == root {
			if _, err := os.Stat(m.path(d.PieceCID)); err == nil {
				return seller.Content{Piece: d.PieceCID}, nil
			}
		}
		if _, f, err := m.Open(context.Background(), seller.Content{Piece: d.PieceCID, Segment: root}); err == nil {
			return seller.Content{Piece: d.PieceCID, Segment: root}, f.Close()
		}
	}
	return seller.Content{}, seller.ErrNotFound
}

// Open implements seller.Source.
func (m *Miner) Open(_ context.Context, c seller.Content) (*car.Index, seller.Archive, error) {
	f, err := os.Open(m.path(c.Piece))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, seller.ErrNotFound
	}
	if err != nil {
		return nil, nil, err
	}
	x, err := m.index(c, f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return x, f, nil
}

// index reads a piece anew each time.
func (m *Miner) index(c seller.Content, f *os.File) (*car.Index, error) {
	if !c.Segment.Defined() {
		x, err := car.BuildIndex(f, car.Options{})
		for _, d := range m.chain.Deals() {
			if err == nil || d.PieceCID != c.Piece {
				continue
			}
			if _, err = f.Seek(0, io.SeekStart); err == nil { // no archive, then
				x, err = car.BuildFlat(f, d.PayloadRoot)
			}
		}
		return x, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	all, err := segment.Scan(f, uint64(size)/127*128)
	for _, x := range all {
		if x.Root() == c.Segment {
			return x, nil
		}
	}
	return nil, errors.Join(err, seller.ErrNotFound)
}

func (m *Miner) path(c cid.Cid) string { return filepath.Join(m.dir, c.String()+".car") }

// Lose deletes a piece.
func (m *Miner) Lose(c cid.Cid) { m.chain.must(os.Remove(m.path(c))) }

// Run works on the miner's deals, block by block, until ctx ends.
func (m *Miner) Run(ctx context.Context) error {
	g, err := m.chain.Global(ctx)
	if err != nil {
		return err
	}
	return m.chain.Follow(ctx, g.Height+1, func(*consensus.Update) error {
		for _, d := range m.chain.Deals() {
			if d.Miner != m.ID || d.State != chain.DealMatched || m.done[d.ID] || !m.Host.Connected(string(d.ClientPeer)) {
				continue
			}
			if err := m.work(ctx, d); err != nil && ctx.Err() == nil {
				return fmt.Errorf("miner %d: deal %d: %w", m.ID, d.ID, err)
			}
		}
		return nil
	})
}

// work takes one deal from matched to active.
func (m *Miner) work(ctx context.Context, d *chain.Deal) error {
	if err := m.fetch(ctx, d); err != nil {
		m.t.Logf("miner %d: deal %d: %v; it will try again", m.ID, d.ID, err)
		return nil
	}
	m.done[d.ID] = true
	if _, err := m.sender.Send(ctx, &chain.AcceptData{Miner: m.ID, Deals: []uint64{d.ID}}); err != nil {
		return err
	}
	g, err := m.chain.Global(ctx)
	if err != nil {
		return err
	}
	m.next++
	pre := chain.PreCommit{Number: m.next, CommR: [32]byte{1, byte(m.next)}, TicketHeight: g.Height - 1,
		Expiration: d.ActivateBy + chain.Height(d.Duration+1000),
		Pieces:     []chain.SectorPiece{{PieceCID: d.PieceCID, PaddedSize: d.PaddedSize, Deal: d.ID}}}
	in, err := m.sender.Send(ctx, &chain.PreCommitSectors{Miner: m.ID, Sectors: []chain.PreCommit{pre}})
	if err != nil {
		return err
	}
	seed := in.Height + chain.Height(m.chain.params.SeedDelay)
	reached := errors.New("reached")
	err = m.chain.Follow(ctx, in.Height, func(u *consensus.Update) error {
		if u.Height >= seed {
			return reached
		}
		return nil
	})
	if !errors.Is(err, reached) {
		return err
	}
	_, err = m.sender.Send(ctx, &chain.ProveCommit{Miner: m.ID, Number: pre.Number, Proof: []byte{1}})
	return err
}

// fetch gets the piece from the client and checks that it is the one of the deal.
func (m *Miner) fetch(ctx context.Context, d *chain.Deal) error {
	if _, err := os.Stat(m.path(d.PieceCID)); errors.Is(err, os.ErrNotExist) {
		err := m.fetchAs(ctx, d, retrieval.FormCAR)
		var form *buyer.FormError
		if errors.As(err, &form) {
			err = m.fetchAs(ctx, d, form.Form)
		}
		if err != nil {
			return err
		}
	}
	f, err := os.Open(m.path(d.PieceCID))
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := piece.Commit(f)
	if err == nil && got.CID != d.PieceCID {
		err = fmt.Errorf("fetched piece %s, the deal is for %s", got.CID, d.PieceCID)
	}
	return err
}

func (m *Miner) fetchAs(ctx context.Context, d *chain.Deal, form retrieval.Form) error {
	part := m.path(d.PieceCID) + ".part"
	f, err := os.Create(part)
	if err != nil {
		return err
	}
	defer f.Close()
	put := func(_ context.Context, _ cid.Cid, data []byte) error { _, err := f.Write(data); return err }
	if form == retrieval.FormCAR {
		w, err := car.NewWriter(f, d.PayloadRoot)
		if err != nil {
			return err
		}
		put = func(_ context.Context, c cid.Cid, data []byte) error { return w.Put(c, data) }
	}
	_, err = m.fetcher.FetchPiece(ctx, buyer.PieceRequest{
		Peers: []chain.Peer{{ID: d.ClientPeer}}, Piece: d.PieceCID, Root: d.PayloadRoot, Deal: d.ID, Form: form,
		MaxSize: piece.MaxPayload(d.PaddedSize), Sink: buyer.SinkFunc(put),
	})
	if err != nil {
		return err
	}
	return os.Rename(part, m.path(d.PieceCID))
}
