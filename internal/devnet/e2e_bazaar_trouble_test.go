package devnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/perdure/perdure/miner/daemon"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
)

// trouble harms one seller after the other until the buyers have everything.
func (b *bazaar) trouble() {
	r := rand.New(rand.NewPCG(b.seed, 1))
	for {
		select {
		case <-b.stops:
			return
		case <-b.ctx.Done():
			return
		case <-time.After(time.Duration(200+r.IntN(1500)) * time.Millisecond):
		}
		who, long := r.IntN(bazaarSellers), time.Duration(500+r.IntN(4000))*time.Millisecond
		m := b.miners[who]
		b.kills++
		switch what := r.IntN(3); what {
		case 0:
			b.t.Logf("seller %d is killed for %v", who, long)
			m.kill()
			time.Sleep(long)
			b.restart(m)
		case 1:
			b.t.Logf("seller %d is cut off for %v", who, long)
			m.cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(long)
			m.cmd.Process.Signal(syscall.SIGCONT)
		case 2:
			good := int64(r.IntN(4 * retrieval.ChunkSize))
			b.t.Logf("seller %d lies for %v, after %d bytes", who, long, good)
			m.kill()
			if err := b.lie(who, long, good); err != nil {
				b.t.Errorf("seller %d cannot lie: %v", who, err)
			}
			b.restart(m)
		}
	}
}

// lie stands at a miner's address, with its key and its pieces, and spoils what
// it sends after some bytes. It asks for no money: who pays it pays nobody.
func (b *bazaar) lie(who int, long time.Duration, good int64) error {
	home := b.home(fmt.Sprintf("miner%d", who))
	cfg, err := daemon.LoadConfig(daemon.ConfigPath(home))
	if err != nil {
		return err
	}
	identity, err := p2p.LoadIdentity(daemon.IdentityPath(home))
	if err != nil {
		return err
	}
	host, err := p2p.New(p2p.Config{Identity: identity, Listen: cfg.Listen})
	if err != nil {
		return err
	}
	shop, err := seller.New(seller.Config{ChainID: townChain, Source: shelf{home: home}, Prices: seller.Terms{Access: seller.Free}})
	if err != nil {
		return errors.Join(err, host.Close())
	}
	left := new(atomic.Int64)
	left.Store(good)
	spoil := func(s *badStream, p []byte) (int, error) {
		p = bytes.Clone(p)
		p[len(p)-1] ^= 1
		return s.ReadWriteCloser.Write(p)
	}
	host.Serve(func(ctx context.Context, stream io.ReadWriteCloser, peer string) {
		shop.Handle(ctx, &badStream{stream, left, spoil}, peer)
	})
	time.Sleep(long)
	return host.Close()
}
