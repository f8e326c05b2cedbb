package index

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Window is what became of a partition's window: a proof of it that was
// accepted, or that none was.
type Window struct {
	Miner               chain.MinerID
	Deadline, Partition uint64
	Height              chain.Height // block that accepted the proof, or closed the window without one
	Closes              chain.Height // last height of the window
	Covered             uint64       // slots that the proof covers
	Failed              uint64       // slots that should have been covered and were not
	Message             uint64       // 1 + index of the message with the proof; 0: missed
}

// Missed reports that no proof was accepted.
func (w *Window) Missed() bool { return w.Covered == 0 }

var errWindow = errors.New("row of a window is cut off")

const windowSize = 8 + 8 + 8 + 4 // of a row: Closes, Covered, Failed, Message

func windowPrefix(m chain.MinerID, deadline, partition uint64) []byte {
	b := number([]byte{'P'}, m)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, uint32(deadline)), uint32(partition))
}

// partitionOf reads the ID of a partition's record.
func partitionOf(k chain.Key) (m chain.MinerID, deadline, partition uint64) {
	m, at := binary.BigEndian.Uint64([]byte(k.ID)), binary.BigEndian.Uint64([]byte(k.ID[8:]))
	return m, at >> 32, at & (1<<32 - 1)
}

// windows writes a row for each proof that the block accepted and each window
// that closed in it without one.
func (b *block) windows(batch *pebble.Batch) error {
	var sent map[chain.Key]uint64
	for i := range b.changes {
		c := &b.changes[i]
		if c.key.Table != chain.TablePartition {
			continue
		}
		was, is := formerly[chain.Partition](c), now[chain.Partition](c)
		w := Window{}
		w.Miner, w.Deadline, w.Partition = partitionOf(c.key)
		switch due := b.missed(was, is); {
		case is != nil && is.ProvenThrough == b.u.Height:
			w.Closes, w.Covered = is.Closes, is.Earning
			if was != nil {
				w.Closes, w.Failed = was.Closes, was.Provable()&^is.Earning
			}
			if sent == nil {
				sent = b.proofs()
			}
			w.Message = sent[firstOf(w.Miner, is)]
		case due != 0:
			w.Closes, w.Failed = was.Closes, due
		default:
			continue
		}
		row := number(number(number(nil, uint64(w.Closes)), w.Covered), w.Failed)
		b.under(batch, windowPrefix(w.Miner, w.Deadline, w.Partition), nil, binary.BigEndian.AppendUint32(row, uint32(w.Message)))
	}
	return nil
}

// missed are the slots that a window should have proven that the block closed
// without a proof; 0 if there is no such window.
func (b *block) missed(was, is *chain.Partition) uint64 {
	if was == nil || was.Closes > b.u.Height || is != nil && is.Closes == was.Closes || b.g.params == nil {
		return 0
	}
	opened := was.Closes + 1 - min(was.Closes, chain.Height(b.g.params.Schedule().Window))
	if was.ProvenThrough >= opened && was.ProvenThrough != 0 || is != nil && is.ProvenThrough == b.u.Height {
		return 0
	}
	return was.Provable()
}

// proofs are the messages whose window proofs the block accepted, by the first
// sector that each covers.
func (b *block) proofs() map[chain.Key]uint64 {
	sent, last := map[chain.Key]uint64{}, uint64(0)
	for i := range b.u.Events {
		e := &b.u.Events[i]
		if e.Kind == consensus.EventSectorProven && e.Message != last {
			last = e.Message
			sent[chain.SectorKey(e.Miner, e.Sector)] = e.Message
		}
	}
	return sent
}

// firstOf is the first sector that the last proof of a partition covers.
func firstOf(m chain.MinerID, p *chain.Partition) chain.Key {
	for slot, n := range p.Sectors {
		if p.Earning&(1<<slot) != 0 {
			return chain.SectorKey(m, n)
		}
	}
	return chain.Key{}
}

// WindowsOf lists what became of a partition's windows from a height through
// another: those of a sector are where its slot is Covered or Failed, from its
// activation through its end.
func (s *Snapshot) WindowsOf(m chain.MinerID, deadline, partition uint64, from, through chain.Height, p Page, each func(*Window) (bool, error)) (next []byte, err error) {
	prefix := windowPrefix(m, deadline, partition)
	within := bounds(prefix, p.Upward, p.After)
	if low := number(append([]byte(nil), prefix...), uint64(from)); string(low) > string(within.LowerBound) {
		within.LowerBound = low
	}
	if high := append(number(append([]byte(nil), prefix...), uint64(through)), 0); string(high) < string(within.UpperBound) {
		within.UpperBound = high
	}
	return s.within(prefix, within, 8, p, func(row, v []byte) (bool, error) {
		if len(v) != windowSize {
			return false, errWindow
		}
		return each(&Window{Miner: m, Deadline: deadline, Partition: partition, Height: height(row), Closes: height(v),
			Covered: binary.BigEndian.Uint64(v[8:]), Failed: binary.BigEndian.Uint64(v[16:]), Message: uint64(be32(v[24:]))})
	})
}

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
