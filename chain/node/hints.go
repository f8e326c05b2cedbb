package node

import (
	"context"
	"fmt"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/hints"
)

// newHints makes the follower that asks miners what is in their pieces. A node that
// has peers on private addresses asks miners there, too.
func (n *Node) newHints() *hints.Follower {
	c := n.config.Hints
	return hints.NewFollower(hints.Config{Miners: n.eachMiner, Private: n.config.LocalPeers, Roots: c.Roots,
		Every: time.Duration(c.Every) * time.Second, Log: n.log.With("part", "hints")})
}

// eachMiner calls each with every miner of the newest state.
func (n *Node) eachMiner(ctx context.Context, each func(*chain.Miner) error) error {
	v := n.store.View()
	if v == nil {
		return nil
	}
	return v.ForEach(chain.TableMiner, func(id string, raw []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := new(chain.Miner)
		if err := chain.Decode(raw, m); err != nil {
			return fmt.Errorf("read miner %x: %w", id, err)
		}
		return each(m)
	})
}
