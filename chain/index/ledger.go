package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Earned sums up what a miner, or the reward address of a genesis validator,
// did and got in some time.
type Earned struct {
	Blocks       uint64 // proposed
	Proofs       uint64 // accepted window proofs
	Faults       uint64 // sectors that became faulty
	Recovered    uint64 // sectors that were proven again
	Served       uint64 // bytes, as the miner claims
	Expired      uint64 // sectors whose term ended
	Dropped      uint64 // sectors that were not proven in time
	Lost         uint64 // sectors that were faulty for too long
	Terminated   uint64 // sectors
	BlockRewards chain.Amount
	PowerRewards chain.Amount
	Tips         chain.Amount
	DealPay      chain.Amount
	Fines        chain.Amount // charged for faults, and pledge and deposits burned
}

// counts and amounts are the fields in one order.
func (e *Earned) counts() [9]*uint64 {
	return [...]*uint64{&e.Blocks, &e.Proofs, &e.Faults, &e.Recovered, &e.Served, &e.Expired, &e.Dropped, &e.Lost, &e.Terminated}
}

func (e *Earned) amounts() [5]*chain.Amount {
	return [...]*chain.Amount{&e.BlockRewards, &e.PowerRewards, &e.Tips, &e.DealPay, &e.Fines}
}

// Add takes in what was earned in other time.
func (e *Earned) Add(o *Earned) {
	for i, n := range o.counts() {
		*e.counts()[i] += *n
	}
	for i, a := range o.amounts() {
		increase(e.amounts()[i], *a)
	}
}

// since is what was earned after an earlier sum.
func (e *Earned) since(o *Earned) (out Earned, err error) {
	for i, n := range e.counts() {
		*out.counts()[i] = *n - *o.counts()[i]
	}
	for i, a := range e.amounts() {
		if *out.amounts()[i], err = a.Sub(*o.amounts()[i]); err != nil {
			return out, fmt.Errorf("sum of what was earned fell: %w", err)
		}
	}
	return out, nil
}

// Rewards is what was minted and tipped.
func (e *Earned) Rewards() chain.Amount {
	sum := e.BlockRewards
	increase(&sum, e.PowerRewards)
	increase(&sum, e.Tips)
	return sum
}

// Ledger is the sum of all that the index has seen somebody earn. Sums as they
// were at the end of hours and days stand in rows of their own, so that what was
// earned between two times is one difference.
type Ledger struct {
	Time         uint64 // of the block that added to Earned last, Unix seconds; 0: none has
	PreCommitted uint64 // sectors now
	Earned       Earned
}

// share is what a block adds to a ledger.
type share struct {
	Earned
	preCommitted int64
}

// of is the share of an address.
func (f *figures) of(address []byte) *share {
	s := f.shares[string(address)]
	if s == nil {
		s = new(share)
		f.shares[string(address)] = s
	}
	return s
}

func (f *figures) ofMiner(id chain.MinerID) *share { return f.of(minerBytes(id)) }

// minerBytes is a miner's address in bytes.
func minerBytes(id chain.MinerID) []byte {
	a, err := chain.MinerAddress(id)
	if err != nil { // IDs are below 2^63
		return nil
	}
	return a.Bytes()
}

func ledgerKey(address []byte) []byte { return named('r', 0, address) }

// sumKey is of the sum at the end of an hour or a day that begins at a time.
func sumKey(address []byte, resolution, start uint64) []byte {
	return number(binary.BigEndian.AppendUint32(ledgerKey(address), uint32(resolution)), start)
}

// hoursKept is for how long sums at the end of hours are kept, in seconds; those of
// days stay.
const hoursKept = 31 * Day

// writeShares adds the block to the ledgers.
func (f *figures) writeShares(batch *pebble.Batch) error {
	for _, name := range slices.Sorted(maps.Keys(f.shares)) {
		address := []byte(name)
		var l Ledger
		if _, err := f.b.g.noun(ledgerKey(address), &l); err != nil {
			return err
		}
		s := f.shares[name]
		l.PreCommitted += uint64(s.preCommitted)
		if s.Earned != (Earned{}) {
			if err := f.closeHour(batch, address, &l); err != nil {
				return err
			}
			l.Time = f.b.u.Time
			l.Earned.Add(&s.Earned)
		}
		if err := put(batch, ledgerKey(address), &l); err != nil {
			return err
		}
	}
	return nil
}

// closeHour keeps the sum at the end of an hour that is over, and at the end of
// a day; with the day, hours go that are too old.
func (f *figures) closeHour(batch *pebble.Batch, address []byte, l *Ledger) error {
	for _, resolution := range []uint64{Hour, Day} {
		if l.Time == 0 || begin(resolution, l.Time) == begin(resolution, f.b.u.Time) {
			return nil
		}
		if err := put(batch, sumKey(address, resolution, begin(resolution, l.Time)), &l.Earned); err != nil {
			return err
		}
	}
	today := begin(Day, f.b.u.Time)
	if today < hoursKept {
		return nil
	}
	old := &pebble.IterOptions{LowerBound: sumKey(address, Hour, 0), UpperBound: sumKey(address, Hour, today-hoursKept)}
	return eachRow(f.b.g.db, old, func(key, _ []byte) error {
		remove(batch, key)
		return nil
	})
}

// Ledger is what an address has earned so far; nothing if it is unknown.
func (s *Snapshot) Ledger(address []byte) (*Ledger, error) {
	l := new(Ledger)
	_, err := s.noun(ledgerKey(address), l)
	return l, err
}

// EarnedSince is what an address earned from a time, rounded down to its hour,
// until now. l is its ledger. It is right for the last 31 days.
func (s *Snapshot) EarnedSince(address []byte, l *Ledger, from uint64) (Earned, error) {
	if l.Time < begin(Hour, from) {
		return Earned{}, nil
	}
	base, err := s.sumBefore(address, from)
	if err != nil {
		return Earned{}, err
	}
	return l.Earned.since(base)
}

// sumBefore is the sum at the end of the last hour before that of a time: of that
// hour itself or, if it is so long ago that hours are gone, of its day.
func (s *Snapshot) sumBefore(address []byte, time uint64) (*Earned, error) {
	sum := new(Earned)
	for _, resolution := range []uint64{Hour, Day} {
		found, err := s.last(sumKey(address, resolution, 0), sumKey(address, resolution, begin(resolution, time)), sum)
		if err != nil || found {
			return sum, err
		}
	}
	return sum, nil
}

// Rewards goes through what an address earned in the hours or days that begin
// from a time on and before another, as time goes. Times in which it earned
// nothing are not there; the last one may grow.
func (s *Snapshot) Rewards(address []byte, resolution, from, to uint64, each func(start uint64, e *Earned) error) error {
	var base *Earned
	step := func(start uint64, sum *Earned) (err error) {
		if base == nil { // before from rows may be gone
			if base, err = s.sumBefore(address, start); err != nil {
				return err
			}
		}
		e, err := sum.since(base)
		if err != nil {
			return err
		}
		base = sum
		return each(start, &e)
	}
	err := overRows(s, sumKey(address, resolution, from), sumKey(address, resolution, to), func(key []byte, sum *Earned) error {
		return step(binary.BigEndian.Uint64(key[len(key)-8:]), sum)
	})
	if err != nil {
		return err
	}
	l, err := s.Ledger(address)
	if at := begin(resolution, l.Time); err != nil || l.Time == 0 || at < from || at >= to {
		return err
	}
	return step(begin(resolution, l.Time), &l.Earned)
}

// Entry is a line of the history of rewards or of faults.
type Entry struct {
	Height chain.Height
	Index  uint64       // in the block's part of the list
	Time   uint64       // Unix seconds of the block
	Tips   chain.Amount // of a block reward: what the block's messages gave beside it
	Event  consensus.Event
}

// History is one of the lists of entries.
type History byte

// The histories.
const (
	RewardHistory History = 'r' // what blocks and proofs earned
	FaultHistory  History = 'f' // faults, recoveries, fines, sectors that ended badly, offences
)

// entries are the block's lines of the histories. What the proposer got is the
// first of the rewards.
func (f *figures) entries() (rewards, faults []Entry) {
	minted := consensus.Event{Kind: consensus.EventBlockReward, To: f.b.rewarded}
	for i := range f.b.u.Events {
		switch e := &f.b.u.Events[i]; e.Kind {
		case consensus.EventBlockReward:
			minted = *e
		case consensus.EventPowerReward:
			rewards = append(rewards, Entry{Event: *e})
		case consensus.EventSectorEnded:
			if e.Reason != chain.SectorExpired.String() {
				faults = append(faults, Entry{Event: *e})
			}
		case consensus.EventSectorFaulty, consensus.EventSectorRecovered, consensus.EventSectorsFined, consensus.EventEquivocation:
			faults = append(faults, Entry{Event: *e})
		}
	}
	if !f.b.tips.IsZero() || !minted.Amount.IsZero() {
		rewards = append([]Entry{{Tips: f.b.tips, Event: minted}}, rewards...)
	}
	return rewards, faults
}

// whose is the address that an entry is about.
func (e *Entry) whose() []byte {
	if e.Event.Kind == consensus.EventBlockReward {
		return e.Event.To
	}
	return minerBytes(e.Event.Miner)
}

// entryPrefix is of all entries of a history, ofPrefix of those about an address.
func entryPrefix(h History) []byte { return []byte{'q', byte(h)} }

func ofPrefix(h History, address []byte) []byte { return named('Q', byte(h), address) }

func (f *figures) writeEntries(batch *pebble.Batch) error {
	rewards, faults := f.entries()
	if err := f.writeHistory(batch, RewardHistory, rewards); err != nil {
		return err
	}
	return f.writeHistory(batch, FaultHistory, faults)
}

func (f *figures) writeHistory(batch *pebble.Batch, h History, list []Entry) error {
	for i := range list {
		e := &list[i]
		e.Height, e.Index, e.Time = f.b.u.Height, uint64(i), f.b.u.Time
		raw, err := chain.Encode(e)
		if err != nil {
			return fmt.Errorf("encode history: %w", err)
		}
		f.b.under(batch, entryPrefix(h), index32(e.Index), raw)
		f.b.under(batch, ofPrefix(h, e.whose()), index32(e.Index), nil)
	}
	return nil
}

// History lists rewards or faults, the newest first: all, or those about an address.
func (s *Snapshot) History(h History, about []byte, p Page, each func(*Entry) (bool, error)) ([]byte, error) {
	if about == nil {
		return nouns(s, entryPrefix(h), 12, p, each)
	}
	return s.list(ofPrefix(h, about), 12, p, func(row, _ []byte) (bool, error) {
		e := new(Entry)
		ok, err := s.noun(append(entryPrefix(h), row...), e)
		if err == nil && !ok {
			err = errors.New("a list names an entry which is not in the index")
		}
		if err != nil {
			return false, err
		}
		return each(e)
	})
}
