package scale

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"

	"github.com/perdure/perdure/chain"
)

// Samples are names of things in a chain, drawn by chance, as the explorer's paths
// write them: by the parameter that takes them. "sector" is MINER/NUMBER and
// "record" TABLE/KEY.
type Samples map[string][]string

// Samples draws so many names of each kind.
func (c *Chain) Samples(n int) (*Samples, error) {
	random, out := rand.New(rand.NewPCG(1, 2)), Samples{}
	network := c.Params.Network
	add := func(kind, name string) { out[kind] = append(out[kind], name) }
	for range n {
		deal := random.Uint64N(c.Size.Deals)
		miner, sector := c.place(random.Uint64N(c.Size.Sectors))
		account, err := c.account(random.Uint64N(c.Size.Accounts))
		if err != nil {
			return nil, err
		}
		add("deal", fmt.Sprint(deal+1))
		add("root", rootOf(deal).String())
		add("piece", pieceOf(deal).String())
		add("miner", chain.FormatMiner(miner, network))
		add("sector", fmt.Sprintf("%s/%d", chain.FormatMiner(miner, network), sector))
		add("address", chain.FormatAddress(account, network))
		add("order", fmt.Sprint(2*c.Size.Deals+1+random.Uint64N(c.Size.Orders)))
		add("channel", fmt.Sprint(1+random.Uint64N(c.Size.Channels)))
		add("height", fmt.Sprint(1+random.Uint64N(uint64(c.Store.View().Height()))))
		add("record", "deal/"+hex.EncodeToString([]byte(chain.DealKey(deal+1).ID)))
	}
	add("table", chain.TableGlobal.String()) // the one whose record has no key
	add("validator", hex.EncodeToString(c.proposer()))
	return &out, c.hashes(out)
}

// hashes adds those of messages in the newest blocks, and the blocks, but for the
// newest one, on which nobody has voted yet.
func (c *Chain) hashes(out Samples) error {
	for h := c.Store.View().Height(); h > c.Base() && len(out["hash"]) < 10_000; h-- {
		messages, err := c.block(h)
		if err != nil {
			return err
		}
		for _, m := range messages {
			out["hash"] = append(out["hash"], chain.HashBytes(m).String())
		}
		if len(messages) > 0 && h < c.Store.View().Height() {
			out["block"] = append(out["block"], fmt.Sprint(h))
		}
	}
	return nil
}
