package bench

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/p2p"
)

// roundTrip is that of the link over which first bytes are waited for.
const roundTrip = 20 * time.Millisecond

// firstBytes measures how long the first byte of the file takes over a link with a round trip, the
// channel open: by a new connection over TCP and over QUIC, and by one that stands.
func (m *market) firstBytes(ctx context.Context) (rows []Row, err error) {
	for _, x := range []struct{ network, transport string }{{"tcp", overTCP}, {"udp", overQUIC}} {
		var cold, warm []float64
		for range m.cfg.Rounds {
			c, w, err := m.firstByte(ctx, x.network, x.transport)
			if err != nil {
				return nil, fmt.Errorf("first byte over %s: %w", x.network, err)
			}
			cold, warm = append(cold, c), append(warm, w)
		}
		name := map[string]string{"tcp": "TCP", "udp": "QUIC"}[x.network]
		rows = append(rows,
			Row{Name: "first byte, round trip of 20 ms, " + name + ", connected", Unit: "round trips", Figure: figure(warm)},
			Row{Name: "first byte, round trip of 20 ms, " + name + ", connecting", Unit: "round trips", Figure: figure(cold)})
	}
	return rows, nil
}

var portOf = regexp.MustCompile(`/(tcp|udp)/(\d+)`)

// firstByte is one cold and one warm try, in round trips.
func (m *market) firstByte(ctx context.Context, network, transport string) (cold, warm float64, err error) {
	var addr string
	for _, a := range m.shop.addrs[stallPaid] {
		if p := portOf.FindStringSubmatch(a); p != nil && p[1] == network {
			addr = a
		}
	}
	port := portOf.FindStringSubmatch(addr)
	if port == nil {
		return 0, 0, fmt.Errorf("no address over %s", network)
	}
	r, err := newRelay(network, "127.0.0.1:"+port[2], roundTrip)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	host, err := m.newHost("buyer-key-" + network)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(host.Close(), err) }()
	peer, err := p2p.ParsePeer(portOf.ReplaceAllString(addr, fmt.Sprintf("/%s/%d", network, r.port())))
	if err != nil {
		return 0, 0, err
	}
	if cold, err = m.untilFirst(ctx, host, peer); err != nil {
		return 0, 0, err
	}
	warm, err = m.untilFirst(ctx, host, peer)
	return cold, warm, err
}

// untilFirst begins to fetch the file, and stops when its first byte is there.
func (m *market) untilFirst(ctx context.Context, host *p2p.Host, peer chain.Peer) (float64, error) {
	b, err := m.newBuyer(host)
	if err != nil {
		return 0, err
	}
	r := buyer.TransferRequest{Root: m.packed.Root, MaxPrice: chain.Atto(benchPrice), Whole: true,
		Parts: []buyer.Part{{Piece: m.packed.Pieces[0].CID, Sellers: []chain.Peer{peer}}}}
	t := b.NewTransfer(ctx, r)
	fetching, stop := context.WithCancel(ctx)
	defer stop()
	to := &firstWrite{start: time.Now(), stop: stop}
	_, err = t.File(fetching, buyer.File{Root: m.packed.Root, To: to})
	t.Close()
	if to.took == 0 {
		return 0, err
	}
	return float64(to.took) / float64(roundTrip), nil
}

// firstWrite stops a fetch when bytes come.
type firstWrite struct {
	start time.Time
	stop  func()
	once  sync.Once
	took  time.Duration
}

func (f *firstWrite) WriteAt(p []byte, _ int64) (int, error) {
	f.once.Do(func() { f.took = time.Since(f.start); f.stop() })
	return len(p), nil
}
