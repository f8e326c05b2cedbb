package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/car"
	"github.com/perdure/perdure/retrieval/ledger"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
)

// shopConfig is what a process that sells for `perdure bench retrieval` is told on its standard
// input, as one line of JSON.
type shopConfig struct {
	Dir    string // for keys and ledgers; must exist
	CAR    string // the archive
	Piece  string // its CID
	Stalls []stall
}

// stall is one seller of the archive, with a host of its own on loopback.
type stall struct {
	Price          uint64 // attoPDR a chunk; 0: for nothing
	BytesPerSecond int    // 0: no bound
}

// shopOpen is the first line that the process prints: where each stall is reached.
type shopOpen struct{ Addrs [][]string }

// RunShop sells until in ends. For each line that comes it prints the processor time that this
// process has used, in nanoseconds.
func RunShop(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		return errors.New("no configuration on standard input")
	}
	var cfg shopConfig
	if err := json.Unmarshal(lines.Bytes(), &cfg); err != nil {
		return err
	}
	source, err := openSource(&cfg)
	if err != nil {
		return err
	}
	till, err := newTill(len(cfg.Stalls))
	if err != nil {
		return err
	}
	var open shopOpen
	for i, s := range cfg.Stalls {
		host, done, err := s.open(cfg.Dir, i, source, till)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, done()) }()
		open.Addrs = append(open.Addrs, host.Addrs())
	}
	answers := json.NewEncoder(out)
	if err := answers.Encode(open); err != nil {
		return err
	}
	for lines.Scan() && ctx.Err() == nil {
		if err := answers.Encode(processorTime().Nanoseconds()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// open starts the seller of stall i.
func (s stall) open(dir string, i int, source seller.Source, till *till) (*p2p.Host, func() error, error) {
	name := func(what string) string { return filepath.Join(dir, fmt.Sprintf("%s-%d", what, i)) }
	key, err := p2p.LoadIdentity(name("seller-key"))
	if err != nil {
		return nil, nil, err
	}
	book, err := ledger.Open(name("seller-ledger"), ledger.Options{})
	if err != nil {
		return nil, nil, err
	}
	cfg := seller.Config{ChainID: benchChain, Source: source, Chain: till, Ledger: book, SettleDelay: benchDelay,
		BytesPerSecond: s.BytesPerSecond, Prices: seller.Terms{Access: seller.Free}}
	if s.Price > 0 {
		cfg.Prices = seller.Terms{Access: seller.Paid, Price: chain.Atto(s.Price), Payee: &till.channels[i].Payee}
	}
	sell, err := seller.New(cfg)
	if err != nil {
		return nil, nil, errors.Join(err, book.Close())
	}
	host, err := p2p.New(p2p.Config{Identity: key, Listen: p2p.LoopbackAddrs()})
	if err != nil {
		return nil, nil, errors.Join(err, book.Close())
	}
	host.Serve(sell.Handle)
	return host, func() error { return errors.Join(host.Close(), book.Close()) }, nil
}

// onePiece is a seller.Source of one archive.
type onePiece struct {
	path  string
	piece cid.Cid
	index *car.Index
}

func openSource(cfg *shopConfig) (*onePiece, error) {
	piece, err := cid.Decode(cfg.Piece)
	if err != nil {
		return nil, fmt.Errorf("piece %q: %w", cfg.Piece, err)
	}
	file, err := os.Open(cfg.CAR)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	index, err := car.BuildIndex(bufio.NewReaderSize(file, 1<<20), car.Options{})
	return &onePiece{cfg.CAR, piece, index}, err
}

// Find implements seller.Source.
func (p *onePiece) Find(_ context.Context, root cid.Cid, part uint64) (seller.Content, error) {
	if part != 0 || !root.Equals(p.index.Root()) {
		return seller.Content{}, seller.ErrNotFound
	}
	return seller.Content{Piece: p.piece}, nil
}

// Open implements seller.Source.
func (p *onePiece) Open(_ context.Context, c seller.Content) (*car.Index, seller.Archive, error) {
	if !c.Piece.Equals(p.piece) || c.Segment.Defined() {
		return nil, nil, seller.ErrNotFound
	}
	file, err := os.Open(p.path)
	return p.index, file, err
}
