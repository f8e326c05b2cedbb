package bench

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/ledger"
	"github.com/perdure/perdure/retrieval/p2p"
)

// RetrievalConfig says what `perdure bench retrieval` measures.
type RetrievalConfig struct {
	Config
	// Shop is the command line of a process that calls RunShop.
	Shop []string
	// Shaped is what each of four sellers may send, bytes a second; 0: they are
	// left out.
	Shaped int
	// Programs are those compared with, by name: ipfs, nginx, curl, openssl. One
	// that has no path is left out, with what needs it.
	Programs map[string]string
}

// The stalls of the shop.
const (
	stallPaid = iota
	stallFree
	stallShaped // and the three after it
	stalls      = stallShaped + 4
)

const (
	benchPrice  = 7         // attoPDR a chunk
	shapedBytes = 256 << 20 // that shaped sellers send at most, so that they do not take all day
)

// What an address of the shop has in it, by transport.
const (
	overTCP  = "/tcp/"
	overQUIC = "/quic-v1"
)

// spent is what moving the payload once took: seconds on the clock, and of the processors for
// each side.
type spent struct{ clock, buyer, seller float64 }

// Retrieval moves a file of cfg.Size random bytes from a seller in another process, over loopback,
// paid and not paid, and moves the same file by the programs that it is compared with, one after
// the other, cfg.Rounds times. Every block is hashed by who receives it. Ratios are of the rounds.
func Retrieval(ctx context.Context, cfg RetrievalConfig) ([]Row, error) {
	m, err := newMarket(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	defer m.close()
	measures, err := m.measures(ctx)
	if err != nil {
		return nil, err
	}
	for _, x := range measures { // what is opened once is open, and files are in memory
		if _, err := x.once(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", x.name, err)
		}
	}
	for round := range cfg.Rounds {
		cfg.Log("round %d of %d", round+1, cfg.Rounds)
		for _, x := range measures {
			s, err := x.once(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", x.name, err)
			}
			x.rounds = append(x.rounds, s)
		}
	}
	first, err := m.firstBytes(ctx)
	return append(report(measures), first...), err
}

// measure is one way to move bytes.
type measure struct {
	name   string
	versus []string // names of those that it is compared with
	bytes  uint64
	once   func(context.Context) (spent, error)
	rounds []spent
}

// report makes the rows: rates with ratios, then processor time.
func report(measures []*measure) (rows []Row) {
	rate := func(x *measure) (out []float64) {
		for _, s := range x.rounds {
			out = append(out, float64(x.bytes)/s.clock/1e6)
		}
		return out
	}
	for _, x := range measures {
		row := Row{Name: x.name, Unit: "MB/s", Figure: figure(rate(x))}
		for _, y := range measures {
			if slices.Contains(x.versus, y.name) {
				compared, ratio := figure(rate(y)), figure(quotients(rate(x), rate(y)))
				row.Reference, row.Compared, row.Ratio = y.name, &compared, &ratio
				rows = append(rows, row)
			}
		}
		if row.Ratio == nil {
			rows = append(rows, row)
		}
	}
	for _, x := range measures {
		perGiB := func(of func(spent) float64) Figure {
			var out []float64
			for _, s := range x.rounds {
				out = append(out, of(s)*(1<<30)/float64(x.bytes))
			}
			return figure(out)
		}
		rows = append(rows,
			Row{Name: x.name + ", processor of who receives", Unit: "s/GiB", Figure: perGiB(func(s spent) float64 { return s.buyer })},
			Row{Name: x.name + ", processor of who sends", Unit: "s/GiB", Figure: perGiB(func(s spent) float64 { return s.seller })})
	}
	return rows
}

// market is the payload, the shop in another process, and the buyer in this one.
type market struct {
	cfg    *RetrievalConfig
	path   string // of the file
	sha256 [sha256.Size]byte
	packed *pack.Packed
	shop   *shopProcess
	hosts  map[string]*p2p.Host // by transport: a host keeps to the connection that it has
	book   *ledger.Ledger
	till   *till
	others []io.Closer
}

func newMarket(ctx context.Context, cfg *RetrievalConfig) (*market, error) {
	m := &market{cfg: cfg, path: filepath.Join(cfg.Dir, "file")}
	err := m.open(ctx)
	if err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (m *market) open(ctx context.Context) (err error) {
	m.cfg.Log("packing a file of %d bytes", m.cfg.Size)
	if m.sha256, err = randomFile(m.path, m.cfg.Size); err != nil {
		return err
	}
	m.packed, err = pack.Pack(ctx, m.path, pack.Options{Public: true, MaxPieceSize: pieceFor(m.cfg.Size), WorkDir: m.cfg.Dir})
	if err != nil {
		return err
	}
	if len(m.packed.Pieces) != 1 {
		return fmt.Errorf("a file of %d bytes makes %d pieces, want one", m.cfg.Size, len(m.packed.Pieces))
	}
	piece := m.packed.Pieces[0]
	shop := shopConfig{Dir: m.cfg.Dir, CAR: piece.CARPath, Piece: piece.CID.String(), Stalls: make([]stall, stalls)}
	for i := range shop.Stalls {
		if i != stallFree {
			shop.Stalls[i].Price = benchPrice
		}
		if i >= stallShaped {
			shop.Stalls[i].BytesPerSecond = m.cfg.Shaped
		}
	}
	if m.shop, err = startShop(m.cfg.Shop, &shop); err != nil {
		return err
	}
	if m.till, err = newTill(stalls); err != nil {
		return err
	}
	if m.book, err = ledger.Open(filepath.Join(m.cfg.Dir, "buyer-ledger"), ledger.Options{}); err != nil {
		return err
	}
	m.hosts = map[string]*p2p.Host{}
	for transport, key := range map[string]string{overTCP: "buyer-key", overQUIC: "buyer-key-quic"} {
		if m.hosts[transport], err = m.newHost(key); err != nil {
			return err
		}
	}
	return nil
}

// newHost makes a host that only dials.
func (m *market) newHost(name string) (*p2p.Host, error) {
	key, err := p2p.LoadIdentity(filepath.Join(m.cfg.Dir, name))
	if err != nil {
		return nil, err
	}
	return p2p.New(p2p.Config{Identity: key})
}

func (m *market) close() {
	for _, o := range slices.Backward(m.others) {
		_ = o.Close()
	}
	for _, host := range m.hosts {
		if host != nil {
			_ = host.Close()
		}
	}
	if m.book != nil {
		_ = m.book.Close()
	}
	if m.shop != nil {
		_ = m.shop.Close()
	}
}

// pieceFor is a piece size in which a CAR of so many bytes of content has room.
func pieceFor(size uint64) uint64 {
	padded := uint64(1 << 20)
	for padded/128*127 < size+size/512+1<<16 {
		padded *= 2
	}
	return padded
}

func randomFile(path string, size uint64) (sum [sha256.Size]byte, err error) {
	file, err := os.Create(path)
	if err != nil {
		return sum, err
	}
	defer file.Close()
	hash := sha256.New()
	random := mathrand.NewChaCha8([32]byte{7})
	if _, err := io.CopyN(io.MultiWriter(file, hash), random, int64(size)); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(hash.Sum(nil)), file.Close()
}

const besideNginx = "nginx, TLS, to openssl dgst"

// measures are what is run in each round, in this order.
func (m *market) measures(ctx context.Context) ([]*measure, error) {
	get := func(transport string, stall int) func(context.Context) (spent, error) {
		return func(ctx context.Context) (spent, error) { return m.fetch(ctx, nowhere{}, transport, 0, stall) }
	}
	all := m.cfg.Size
	out := []*measure{
		{"paid", []string{"free", besideNginx}, all, get(overTCP, stallPaid), nil},
		{"free", nil, all, get(overTCP, stallFree), nil},
		{"paid, QUIC", []string{"free, QUIC"}, all, get(overQUIC, stallPaid), nil},
		{"free, QUIC", nil, all, get(overQUIC, stallFree), nil},
	}
	if nginx, curl, openssl := m.program("nginx"), m.program("curl"), m.program("openssl"); nginx != "" && curl != "" && openssl != "" {
		server, err := startNginx(m, nginx)
		if err != nil {
			return nil, err
		}
		out = append(out, &measure{besideNginx, nil, all, func(ctx context.Context) (spent, error) { return server.hash(ctx, curl, openssl) }, nil})
	}
	if kubo := m.program("ipfs"); kubo != "" {
		nodes, err := startKubo(ctx, m, kubo)
		if err != nil {
			return nil, err
		}
		out = append(out, &measure{"paid, into a file", []string{"kubo, ipfs cat"}, all, m.fetchFile, nil},
			&measure{"kubo, ipfs cat", nil, all, nodes.cat, nil})
	}
	if m.cfg.Shaped > 0 {
		n := min(all, shapedBytes)
		shaped := func(count int) func(context.Context) (spent, error) {
			return func(ctx context.Context) (spent, error) {
				return m.fetch(ctx, nowhere{}, overTCP, n, []int{stallShaped, stallShaped + 1, stallShaped + 2, stallShaped + 3}[:count]...)
			}
		}
		out = append(out, &measure{"four shaped sellers", []string{"one of them"}, n, shaped(4), nil}, &measure{"one of them", nil, n, shaped(1), nil})
	}
	return out, nil
}

func (m *market) program(name string) string {
	path := m.cfg.Programs[name]
	if path == "" {
		m.cfg.Log("no program %s: what needs it is left out", name)
	}
	return path
}

// nowhere takes a file's bytes and drops them.
type nowhere struct{}

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// newBuyer makes a buyer that dials by a host.
func (m *market) newBuyer(host buyer.Dialer) (*buyer.Buyer, error) {
	return buyer.New(buyer.Config{ChainID: benchChain, Dialer: host, Channels: m.till, Signer: m.till, Ledger: m.book})
}

// request asks some stalls for the payload.
func (m *market) request(transport string, stalls ...int) (buyer.TransferRequest, error) {
	part := buyer.Part{Piece: m.packed.Pieces[0].CID}
	for _, s := range stalls {
		peer, err := m.shop.peer(s, transport)
		if err != nil {
			return buyer.TransferRequest{}, err
		}
		part.Sellers = append(part.Sellers, peer)
	}
	return buyer.TransferRequest{Root: m.packed.Root, Parts: []buyer.Part{part}, MaxPrice: chain.Atto(benchPrice)}, nil
}

// fetch gets the first n bytes of the file, or all of it if n is 0, from some stalls.
func (m *market) fetch(ctx context.Context, to io.WriterAt, transport string, n uint64, stalls ...int) (spent, error) {
	b, err := m.newBuyer(m.hosts[transport])
	if err != nil {
		return spent{}, err
	}
	r, err := m.request(transport, stalls...)
	if err != nil {
		return spent{}, err
	}
	if n == m.cfg.Size {
		n = 0
	}
	sellers, err := m.shop.processor()
	if err != nil {
		return spent{}, err
	}
	own, start := processorTime(), time.Now()
	st, err := b.FetchFile(ctx, r, buyer.File{Root: m.packed.Root, Length: n, To: to})
	s := spent{clock: time.Since(start).Seconds(), buyer: (processorTime() - own).Seconds()}
	if err != nil {
		return s, err
	}
	if paid := stalls[0] != stallFree; st.Bytes < max(n, 1) || paid && st.Paid < st.Chunks {
		return s, fmt.Errorf("%d bytes in %d chunks, %d of them paid", st.Bytes, st.Chunks, st.Paid)
	}
	after, err := m.shop.processor()
	s.seller = (after - sellers).Seconds()
	return s, err
}

// fetchFile fetches the payload into a file, as other programs keep what they fetch.
func (m *market) fetchFile(ctx context.Context) (spent, error) {
	path := filepath.Join(m.cfg.Dir, "fetched-"+rand.Text())
	file, err := os.Create(path)
	if err != nil {
		return spent{}, err
	}
	defer os.Remove(path)
	defer file.Close()
	return m.fetch(ctx, file, overTCP, 0, stallPaid)
}
