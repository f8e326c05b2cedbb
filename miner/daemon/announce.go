package daemon

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/hints"
	"github.com/perdure/perdure/retrieval/p2p"
)

// When a miner's addresses are put on chain, which costs a message: only once a set
// of them has stood for so long. settleLost holds if none of those on chain is the
// miner's any more (nobody finds it), settleSome if one still is, and no message
// follows another within announceGap. What the config fixes goes at once.
const (
	settleLost  = time.Minute
	settleSome  = time.Hour
	announceGap = 10 * time.Minute
)

// announceLook is how often the addresses are looked at, announceRetry the wait
// after a message that failed.
const (
	announceLook  = 15 * time.Second
	announceRetry = 5 * time.Second
)

// announcer decides when addresses go on chain. It knows no clock.
type announcer struct {
	seen  [][]byte  // the set that was seen last, sorted
	since time.Time // when it was first seen
	sent  time.Time // the last message; zero: none yet
}

// due reports whether self must go on chain, where on stands now. fixed: self is
// what the config says. A set without addresses is never sent: it would not help
// anybody, and the old ones may come back.
func (a *announcer) due(now time.Time, self, on chain.Peer, fixed bool) bool {
	set := sorted(self.Addrs)
	if a.since.IsZero() || !slices.EqualFunc(set, a.seen, bytes.Equal) {
		a.seen, a.since = set, now
	}
	known := sorted(on.Addrs)
	same := bytes.Equal(self.ID, on.ID)
	if same && slices.EqualFunc(set, known, bytes.Equal) {
		return false
	}
	if fixed {
		return true
	}
	if len(set) == 0 || !a.sent.IsZero() && now.Sub(a.sent) < announceGap {
		return false
	}
	wait := settleLost
	if same && slices.ContainsFunc(known, func(k []byte) bool {
		return slices.ContainsFunc(set, func(s []byte) bool { return bytes.Equal(k, s) })
	}) {
		wait = settleSome
	}
	return now.Sub(a.since) >= wait
}

func sorted(addrs [][]byte) [][]byte {
	out := slices.Clone(addrs)
	slices.SortFunc(out, bytes.Compare)
	return out
}

// keepAnnounced keeps the addresses on chain those by which strangers reach the
// miner. Nothing waits for it: while the chain stands still, the rest of the miner
// is at work.
func (d *Daemon) keepAnnounced(ctx context.Context) error {
	var a announcer
	for {
		err := d.announceOnce(ctx, &a)
		if err == nil && d.host.Settled() {
			return nil
		}
		pause := announceLook
		if err != nil && ctx.Err() == nil {
			d.log.Warn("announce addresses; tried again", "err", err)
			pause = announceRetry
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

func (d *Daemon) announceOnce(ctx context.Context, a *announcer) error {
	on := new(chain.Miner)
	self, err := d.self()
	if err != nil {
		return err
	}
	if _, err := d.node.Record(ctx, chain.MinerKey(d.id), on); err != nil {
		return err
	}
	// The door is what the config says: it goes at once, and says nothing of the others.
	doors := slices.Equal(hints.Doors(self), hints.Doors(on.Peer))
	if doors && !a.due(time.Now(), withoutDoors(self), withoutDoors(on.Peer), d.host.Settled()) {
		return nil
	}
	if _, err := d.send.Send(ctx, &chain.UpdateMiner{Miner: d.id, Peer: &self}); err != nil {
		return err
	}
	a.sent = time.Now()
	d.log.Info("addresses announced", "addrs", p2p.FormatAddrs(self))
	return nil
}

// withoutDoors are a peer's addresses for streams.
func withoutDoors(p chain.Peer) chain.Peer {
	p.Addrs = slices.DeleteFunc(slices.Clone(p.Addrs), func(a []byte) bool { return len(hints.Doors(chain.Peer{Addrs: [][]byte{a}})) > 0 })
	return p
}
