package devnet

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/deals"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/retrieval/p2p"
)

// patron is a client whose steps are taken one by one: it places bids, and
// serves its pieces only from when it is told.
type patron struct {
	s       *stage
	host    *p2p.Host
	records *files.Records
	market  *deals.Market
}

// newPatron makes a client with the network's wallet.
func (s *stage) newPatron() *patron {
	s.t.Helper()
	home := filepath.Join(s.Wallet, "client")
	records, err := files.Open(home)
	if err != nil {
		s.t.Fatal(err)
	}
	identity, err := p2p.LoadIdentity(records.IdentityPath())
	if err != nil {
		s.t.Fatal(err)
	}
	host, err := p2p.New(p2p.Config{Identity: identity, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { host.Close() })
	market := deals.New(deals.Config{Chain: s.chain, Sender: s.sender(s.Wallet), Host: host, Records: records, Log: s.log})
	return &patron{s: s, host: host, records: records, market: market}
}

// serve dials the miners of all deals and serves them until stop.
func (p *patron) serve() (stop func()) {
	p.s.t.Helper()
	seller, err := p.market.Seller(p.s.Params.ChainID)
	if err != nil {
		p.s.t.Fatal(err)
	}
	p.host.Serve(func(ctx context.Context, stream io.ReadWriteCloser, peer string) { seller.Handle(ctx, stream, peer) })
	ctx, cancel := context.WithCancel(p.s.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.market.Attend(ctx); err != nil && ctx.Err() == nil {
			p.s.t.Errorf("attend to deals: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	p.s.t.Cleanup(stop)
	return stop
}

// put places the bids for content and makes blocks until all copies of it are
// matched. It returns the deals.
func (p *patron) put(content []byte, copies uint64) (*files.Object, []uint64) {
	s := p.s
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "content")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	spool, err := p.records.NewSpool()
	if err != nil {
		s.t.Fatal(err)
	}
	packed, err := pack.Pack(s.ctx, path, pack.Options{Public: true, MaxPieceSize: 2 << 10, WorkDir: spool.Dir()})
	if err != nil {
		s.t.Fatal(err)
	}
	pieces, err := spool.Keep(packed)
	if err != nil {
		s.t.Fatal(err)
	}
	o := &files.Object{Root: packed.Root.String(), Kind: string(packed.Kind), Size: packed.Size, SHA256: packed.SHA256[:],
		ChainID: s.Params.ChainID, Client: chain.FormatAddress(s.Client, s.Params.Network), Copies: copies,
		Duration: 10 * s.Params.Period(), MaxPrice: chain.PDR(1), Pieces: pieces, Spool: spool.Name(), Seen: s.Height()}
	if err := p.records.Create(s.ctx, o); err != nil {
		s.t.Fatal(err)
	}
	first := s.global().NextDeal
	err = s.During(s.ctx, func(ctx context.Context) error {
		o, err = p.market.Place(ctx, o)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := spool.Close(); err != nil {
		s.t.Fatal(err)
	}
	want := copies * uint64(len(pieces))
	s.until("matched", func() bool { return s.global().NextDeal == first+want })
	var ids []uint64
	for id := first; id < first+want; id++ {
		ids = append(ids, id)
	}
	return o, ids
}

// some is content that differs with seed.
func some(size int, seed byte) []byte {
	return bytes.Repeat([]byte{seed, 1, 2, 3, 4, 5, 6, 7}, size/8+1)[:size]
}
