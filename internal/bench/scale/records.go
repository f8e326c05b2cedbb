package scale

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// due is the height from which anything falls due.
const due = chain.Height(1_000_000_000)

// key is the private key of a name and number.
func key(name string, i uint64) []byte {
	d := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("scale "+name), i))
	return d[:]
}

// account is the address of an account; the first senders have keys.
func (c *Chain) account(i uint64) (chain.Address, error) {
	if i >= c.Size.senders() {
		return chain.KeyAddress(key("account", i))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := uint64(len(c.accounts)); n <= i; n++ {
		a, err := chain.AddressOfKey(key("account", n))
		if err != nil {
			return a, err
		}
		c.accounts = append(c.accounts, a)
	}
	return c.accounts[i], nil
}

// chunk is one block of the state on its way.
type chunk struct {
	*Chain
	u      *consensus.Update
	global *chain.Global
	err    error // of any step; later ones do nothing
}

// write commits the block of a chunk.
func (c *Chain) write(n uint64) error {
	global, err := c.Store.View().Global()
	if err != nil {
		return err
	}
	global.Height = chain.Height(n) + 1
	global.Time = began + uint64(global.Height)*chunkTime
	k := &chunk{Chain: c, global: global, u: &consensus.Update{Version: consensus.UpdateVersion, Height: global.Height,
		Time: global.Time, Proposer: c.proposer()}}
	each := func(total uint64, make func(i uint64)) {
		from, to := c.share(total, n)
		for i := from; i < to && k.err == nil; i++ {
			make(i)
		}
	}
	each(c.Size.Accounts, k.holder)
	each(c.Size.Sectors, k.sector)
	each(c.Size.Deals, k.deal)
	each(c.Size.Orders, k.order)
	each(c.Size.Channels, k.channel)
	k.set(chain.BeaconKey(global.Height), &chain.Beacon{Value: sha256.Sum256(key("beacon", n)), Skipped: true})
	k.set(chain.GlobalKey(), global)
	if k.err != nil {
		return k.err
	}
	slices.SortFunc(k.u.Changes, func(a, b consensus.Change) int {
		if a.Key().Less(b.Key()) {
			return -1
		}
		return 1
	})
	if _, err := c.Store.Stage(k.u); err != nil {
		return err
	}
	return c.Store.Commit()
}

// fail keeps the first error.
func (k *chunk) fail(err error) {
	if k.err == nil {
		k.err = err
	}
}

func (k *chunk) set(at chain.Key, v chain.CBOR) {
	raw, err := chain.Encode(v)
	if err != nil {
		k.fail(fmt.Errorf("encode %s: %w", at.Table, err))
	}
	k.u.Changes = append(k.u.Changes, consensus.Change{Table: at.Table, ID: []byte(at.ID), Value: raw})
}

func (k *chunk) event(e consensus.Event) { k.u.Events = append(k.u.Events, e) }

func (k *chunk) address(i uint64) chain.Address {
	a, err := k.account(i % k.Size.Accounts)
	if err != nil {
		k.fail(err)
	}
	return a
}

// mint counts money that the records of the chunk hold, free or locked.
func (k *chunk) mint(into *chain.Amount, amounts ...chain.Amount) {
	for _, sum := range []*chain.Amount{into, &k.global.Supply.Minted} {
		total, err := chain.Sum(append(amounts, *sum)...)
		if err != nil {
			k.fail(err)
		}
		*sum = total
	}
}

func (k *chunk) locked(amounts ...chain.Amount) { k.mint(&k.global.Supply.Locked, amounts...) }

func (k *chunk) free(amounts ...chain.Amount) { k.mint(&k.global.Supply.Accounts, amounts...) }

// holder writes an account; genesis has made those that send.
func (k *chunk) holder(i uint64) {
	if i < k.Size.senders() {
		return
	}
	a := &chain.Account{Nonce: i % 7, Balance: chain.Atto(1_000_000_000 * (1 + i*i%1_000_003))}
	k.set(chain.AccountKey(k.address(i)), a)
	k.free(a.Balance)
}

// perMiner is how many sectors a miner has.
func (c *Chain) perMiner() uint64 { return (c.Size.Sectors + c.Size.Miners - 1) / c.Size.Miners }

// place is the miner of a sector, and the sector's number there.
func (c *Chain) place(sector uint64) (chain.MinerID, uint64) {
	return chain.FirstMinerID + sector/c.perMiner(), sector % c.perMiner()
}

// stateOf is the state of a sector by its number in the whole: most are active.
func stateOf(sector uint64) chain.SectorState {
	switch n := sector % 100; {
	case n < 86:
		return chain.SectorActive
	case n < 89:
		return chain.SectorFaulty
	case n < 94:
		return chain.SectorExpired
	case n < 96:
		return chain.SectorPreCommitted
	case n < 98:
		return chain.SectorLost
	default:
		return chain.SectorTerminated
	}
}

// commitment is a field element of a name and number.
func commitment(name string, i uint64) (out [32]byte) {
	copy(out[:31], key(name, i))
	return out
}

func cidOf(prefix []byte, digest [32]byte) cid.Cid {
	c, err := cid.Cast(append(slices.Clone(prefix), digest[:]...))
	if err != nil {
		panic(err) // the prefixes below are right
	}
	return c
}

var (
	piecePrefix = []byte{0x01, 0x81, 0xe2, 0x03, 0x92, 0x20, 0x20} // CIDv1, an unsealed commitment
	rootPrefix  = []byte{0x01, 0x70, 0x12, 0x20}                   // CIDv1, dag-pb, SHA-256
)

// pieceOf and rootOf are those of a deal; every fourth shares its payload with the one before.
func pieceOf(deal uint64) cid.Cid { return cidOf(piecePrefix, commitment("piece", deal)) }

func rootOf(deal uint64) cid.Cid {
	if deal%4 == 3 {
		deal--
	}
	return cidOf(rootPrefix, commitment("root", deal))
}

// sizeOf is the padded size of a deal: 1 MiB to 8 GiB.
func sizeOf(deal uint64) uint64 { return 1 << (20 + deal%14) }

// sector writes a sector, and its miner and partition if it is their first.
func (k *chunk) sector(i uint64) {
	id, number := k.place(i)
	if number == 0 {
		k.miner(id, i)
	}
	if number%chain.PartitionSectors == 0 {
		k.partition(id, i, number)
	}
	s := &chain.Sector{Miner: id, Number: number, State: stateOf(i), SealProof: k.proof(), CommR: commitment("commr", i),
		CommD: commitment("commd", i), Ticket: commitment("ticket", i), PreCommitted: k.u.Height, SeedHeight: k.u.Height + chain.Height(k.Params.SeedDelay),
		Expiration: due}
	if i < k.Size.Deals {
		s.Pieces = []chain.SectorPiece{{PieceCID: pieceOf(i), PaddedSize: sizeOf(i), Deal: i + 1}}
	}
	k.event(consensus.Event{Kind: consensus.EventSectorCommitted, Miner: id, Sector: number})
	if s.State == chain.SectorPreCommitted {
		s.Deposit = chain.PDR(1)
		k.locked(s.Deposit)
		k.set(chain.SectorKey(id, number), s)
		return
	}
	part := number / chain.PartitionSectors
	s.Proven, s.Activated, s.PaidThrough = 1<<k.Params.SealParts()-1, k.u.Height, k.u.Height
	s.Deadline, s.Partition, s.Slot = part%k.Params.Deadlines, part/k.Params.Deadlines, number%chain.PartitionSectors
	k.event(consensus.Event{Kind: consensus.EventSectorActive, Miner: id, Sector: number, Index: s.Deadline})
	switch s.State {
	case chain.SectorFaulty:
		s.FaultSince = k.u.Height
		k.event(consensus.Event{Kind: consensus.EventSectorFaulty, Miner: id, Sector: number, Reason: "declared", Amount: chain.Atto(1_000_000)})
	case chain.SectorActive:
	default:
		k.event(consensus.Event{Kind: consensus.EventSectorEnded, Miner: id, Sector: number, Reason: s.State.String()})
	}
	if s.Live() {
		s.Pledge = chain.PDR(1)
		k.locked(s.Pledge)
	}
	k.set(chain.SectorKey(id, number), s)
}

// proof is the seal proof of all sectors: the largest of the network.
func (k *chunk) proof() abi.RegisteredSealProof {
	return k.Params.SealProofs[len(k.Params.SealProofs)-1]
}

// miner writes a miner whose first sector is i.
func (k *chunk) miner(id chain.MinerID, i uint64) {
	owner, worker := k.address(id-chain.FirstMinerID), k.address(id)
	m := &chain.Miner{ID: id, Keys: chain.Keys{Owner: owner, Worker: worker, Beneficiary: owner}, SealProof: k.proof(), Created: k.u.Height,
		PeriodStart: due, Balance: chain.PDR(10 + id%90), Peer: chain.Peer{ID: append([]byte{0, 36, 8, 1, 18, 32}, key("peer", id)...)},
		Deadlines: make([]uint64, k.Params.Deadlines), Partitions: make([]uint64, k.Params.Deadlines)}
	for n := range min(k.perMiner(), k.Size.Sectors-i) {
		part := n / chain.PartitionSectors
		if n%chain.PartitionSectors == 0 {
			m.Partitions[part%k.Params.Deadlines]++
		}
		switch stateOf(i + n) {
		case chain.SectorFaulty:
			m.Faulty++
			m.Sectors++
			m.Deadlines[part%k.Params.Deadlines]++
		case chain.SectorActive:
			m.Sectors++
			m.Deadlines[part%k.Params.Deadlines]++
			m.Power += sectorSize
		}
	}
	m.Pledge = chain.PDR(m.Sectors)
	k.global.Power += m.Power
	k.global.NextMiner = id + 1
	k.free(m.Balance)
	k.set(chain.MinerKey(id), m)
	k.set(chain.ServedKey(id), &chain.Served{Bytes: id << 30, Receipts: id, Batches: 1, Through: k.u.Height})
	k.event(consensus.Event{Kind: consensus.EventMinerCreated, Miner: id, From: owner.Bytes(), Amount: m.Balance})
}

// partition writes the partition whose first sector is i.
func (k *chunk) partition(id chain.MinerID, i, number uint64) {
	p := &chain.Partition{Closes: due, ProvenPeriods: 1, ProvenThrough: k.u.Height}
	for n := range min(chain.PartitionSectors, k.perMiner()-number, k.Size.Sectors-i) {
		p.Sectors = append(p.Sectors, number+n)
		switch stateOf(i + n) {
		case chain.SectorFaulty:
			p.Live |= 1 << n
			p.Faulty |= 1 << n
		case chain.SectorActive:
			p.Live |= 1 << n
			p.Earning |= 1 << n
		}
	}
	part := number / chain.PartitionSectors
	k.set(chain.PartitionKey(id, part%k.Params.Deadlines, part/k.Params.Deadlines), p)
}
