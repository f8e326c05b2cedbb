package buyer_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
)

// payload is what the benchmarks move, in bytes.
const payload = 256 << 20

// nowhere takes a file's bytes and drops them.
type nowhere struct{}

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// processor is the time that this process, buyer and sellers together, has used.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// move runs a transfer of the payload b.N times and reports the time of the
// processor for a GiB of it.
func move(b *testing.B, once func() error) {
	b.Helper()
	b.SetBytes(payload)
	before := processor(b)
	n := 0
	for b.Loop() {
		if err := once(); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric((processor(b)-before).Seconds()/float64(n)*(1<<30)/payload, "cpu-s/GiB")
}

// BenchmarkRetrieve fetches 256 MiB over loopback libp2p, with and without
// payment, ledgers on disk, every block checked by the buyer; stream copies
// the same bytes over a bare libp2p stream, for comparison.
func BenchmarkRetrieve(b *testing.B) {
	f := treeOf(b, randomBytes(payload, 50), leaf, 174)
	parts := f.cut(b)
	for _, transport := range []string{"/tcp/", "/quic-v1"} {
		name := strings.Trim(transport, "/")
		for _, price := range []uint64{7, 0} {
			b.Run(fmt.Sprintf("%s/price=%d", name, price), func(b *testing.B) {
				w := newWorld(b)
				w.ledger = openLedgerAt(b, b.TempDir())
				w.config.Ledger = w.ledger
				s := w.open(10, price, func(c *seller.Config) { c.Ledger = openLedgerAt(b, b.TempDir()) }, parts...)
				w.over(s, transport)
				move(b, func() error {
					st, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, s), buyer.File{Root: f.root, To: nowhere{}})
					if err == nil && (st.Bytes < payload || st.Paid < st.Chunks && price > 0) {
						err = fmt.Errorf("%d bytes in %d chunks, %d paid", st.Bytes, st.Chunks, st.Paid)
					}
					return err
				})
				s.reported(b)
			})
		}
		b.Run(name+"/stream", func(b *testing.B) { bareStream(b, f.bytes, transport) })
	}
}

func bareStream(b *testing.B, content []byte, transport string) {
	host, client := newHost(b, p2p.LoopbackAddrs()...), newHost(b)
	host.Serve(func(_ context.Context, stream io.ReadWriteCloser, _ string) {
		_, _ = io.ReadFull(stream, make([]byte, 1))
		for rest := content; len(rest) > 0; rest = rest[min(leaf, len(rest)):] {
			if _, err := stream.Write(rest[:min(leaf, len(rest))]); err != nil {
				return
			}
		}
		_ = stream.Close()
	})
	peer := by(b, host, transport)
	buf := make([]byte, leaf)
	move(b, func() error {
		stream, err := client.Open(ctx, peer)
		if err == nil {
			_, err = stream.Write([]byte{1})
		}
		if err != nil {
			return err
		}
		total := 0
		for {
			n, err := stream.Read(buf)
			total += n
			if err != nil {
				break
			}
		}
		if total != payload {
			return fmt.Errorf("%d bytes of %d", total, payload)
		}
		return stream.Close()
	})
}

// shaped is what each seller of BenchmarkFourSellers may send: less where the
// machine has other work, so that the sellers and not the processor are the bound.
var shaped = flag.Int("shaped", 50_000_000, "bytes a second of each seller of BenchmarkFourSellers")

// BenchmarkFourSellers fetches 256 MiB from one seller and from four, each of
// which may send so many bytes a second and has a libp2p host of its own.
func BenchmarkFourSellers(b *testing.B) {
	f := treeOf(b, randomBytes(payload, 51), leaf, 174)
	parts := f.cut(b)
	for _, n := range []int{1, 4} {
		b.Run(fmt.Sprintf("sellers=%d", n), func(b *testing.B) {
			w := newWorld(b)
			w.ledger = openLedgerAt(b, b.TempDir())
			w.config.Ledger = w.ledger
			var shops []*shop
			for i := range n {
				s := w.open(byte(10+i), 7, func(c *seller.Config) {
					c.Ledger, c.BytesPerSecond = openLedgerAt(b, filepath.Join(b.TempDir(), "ledger")), *shaped
				}, parts...)
				w.over(s, "/tcp/")
				shops = append(shops, s)
			}
			move(b, func() error {
				_, err := w.buyer.FetchFile(ctx, w.transfer(f, parts, shops...), buyer.File{Root: f.root, To: nowhere{}})
				return err
			})
			for _, s := range shops {
				s.reported(b)
			}
		})
	}
}
