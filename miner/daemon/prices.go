package daemon

import (
	"context"
	"fmt"
	"slices"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/retrieval/p2p"
	"github.com/perdure/perdure/retrieval/seller"
)

// BuyerConfig is an exception from the miner's terms for one buyer.
type BuyerConfig struct {
	Peer       string        `toml:"peer"`                  // libp2p peer ID
	Price      *chain.Amount `toml:"price,omitempty"`       // attoPDR a chunk, 0: nothing; as for all if it is not given
	FreeChunks *uint64       `toml:"free_chunks,omitempty"` // chunks for nothing each hour; likewise
}

// tariff is what the miner's data costs, in the retrieval protocol and over HTTP.
// It implements seller.Prices.
type tariff struct {
	usual  seller.Terms
	free   *gifts
	buyers map[string]seller.Terms
}

func newTariff(retrieval *RetrievalConfig, public *PublicConfig, records miner.Records, payee chain.Address) (*tariff, error) {
	free, err := newGifts(public.Free, records)
	if err != nil {
		return nil, err
	}
	t := &tariff{usual: termsOf(retrieval.Price, retrieval.FreeChunks, payee), free: free, buyers: map[string]seller.Terms{}}
	for _, b := range retrieval.Buyers {
		id, err := p2p.ParsePeerID(b.Peer)
		if err != nil {
			return nil, fmt.Errorf("retrieval.buyers: %w", err)
		}
		price, chunks := retrieval.Price, retrieval.FreeChunks
		if b.Price != nil {
			price = *b.Price
		}
		if b.FreeChunks != nil {
			chunks = *b.FreeChunks
		}
		t.buyers[id] = termsOf(price, chunks, payee)
	}
	return t, nil
}

func termsOf(price chain.Amount, free uint64, payee chain.Address) seller.Terms {
	if price.IsZero() {
		return seller.Terms{Access: seller.Free, Payee: &payee}
	}
	return seller.Terms{Access: seller.Paid, Price: price, Payee: &payee, FreeChunks: free}
}

// Terms implements seller.Prices.
func (t *tariff) Terms(_ context.Context, item seller.Item) (seller.Terms, error) {
	if free, err := t.free.has(item); free || err != nil {
		return seller.Terms{Access: seller.Free, Payee: t.usual.Payee}, err
	}
	if terms, ok := t.buyers[item.Peer]; ok {
		return terms, nil
	}
	return t.usual, nil
}

// checkLimits refuses bounds that mean nothing.
func (c *RetrievalConfig) checkLimits() error {
	for _, n := range []int{c.BytesPerSecond, c.PeerBytesPerSecond, c.Sessions, c.PeerSessions} {
		if n < 0 {
			return fmt.Errorf("retrieval: a bound of %d, want 0 or more", n)
		}
	}
	if i := slices.IndexFunc(c.Buyers, func(b BuyerConfig) bool { return b.Peer == "" }); i >= 0 {
		return fmt.Errorf("retrieval.buyers: buyer %d has no peer", i+1)
	}
	return nil
}
