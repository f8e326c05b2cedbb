package index

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Record is a record of the state as the index mirrors it. Orders, channels,
// sectors, deals, proposals and vote sets that have left the state stay as they
// last were until their end is older than the history.
type Record struct {
	Key     chain.Key
	Value   []byte       // canonical encoding
	Changed chain.Height // block that wrote that form; 0: before the history
	Ended   chain.Height // block in which its life ended; 0: it lives, or it ended before the history
	Gone    chain.Height // block that took it out of the state; 0: the state has it
	Reason  string       // why it ended, as its last event says
}

// Decode reads the record.
func (r *Record) Decode(v chain.CBOR) error {
	if err := parse(r.Value, v); err != nil {
		return fmt.Errorf("decode %s %x: %w", r.Key.Table, r.Key.ID, err)
	}
	return nil
}

// parse decodes what the node itself encoded; chain.Decode would encode it
// again to find out whether it is canonical.
func parse(raw []byte, v chain.CBOR) error { return v.UnmarshalCBOR(bytes.NewReader(raw)) }

// recordHead is Changed, Ended, Gone and the length of Reason.
const recordHead = 8 + 8 + 8 + 1

// bytes is the row of a record: head, Reason, Value.
func (r *Record) bytes() []byte {
	reason := r.Reason[:min(len(r.Reason), 255)]
	b := make([]byte, 0, recordHead+len(reason)+len(r.Value))
	b = number(number(number(b, uint64(r.Changed)), uint64(r.Ended)), uint64(r.Gone))
	b = append(append(b, byte(len(reason))), reason...)
	return append(b, r.Value...)
}

// parseRecord reads a row; it keeps row.
func parseRecord(k chain.Key, row []byte) (*Record, error) {
	if len(row) < recordHead || len(row) < recordHead+int(row[recordHead-1]) {
		return nil, fmt.Errorf("row of %s %x is cut off", k.Table, k.ID)
	}
	at := func(i int) chain.Height { return chain.Height(binary.BigEndian.Uint64(row[i:])) }
	end := recordHead + int(row[recordHead-1])
	return &Record{Key: k, Changed: at(0), Ended: at(8), Gone: at(16), Reason: string(row[recordHead:end]), Value: row[end:]}, nil
}

// mirrored are the tables whose records the index has, with a new noun of each.
// What is left out no reader asks for: queues, replay keys, the heap of
// candidates; a block's beacon is in its Block.
func mirrored(t chain.Table) chain.CBOR {
	switch t {
	case chain.TableGlobal, chain.TableAccount, chain.TableMiner, chain.TableSector, chain.TablePartition, chain.TableOrder, chain.TableDeal,
		chain.TableChannel, chain.TableVoters, chain.TableVoteKey, chain.TableProposal, chain.TableServed, chain.TableParams:
		return consensus.NewRecord(t, "")
	}
	return nil
}

// remembered reports whether a record of a table stays in the index when it
// leaves the state.
func remembered(t chain.Table) bool {
	switch t {
	case chain.TableSector, chain.TableOrder, chain.TableDeal, chain.TableChannel, chain.TableVoters, chain.TableProposal:
		return true
	}
	return false
}

// mirroredTables lists the mirrored tables.
func mirroredTables() (all []chain.Table) {
	for t := range chain.TableEnd {
		if mirrored(t) != nil {
			all = append(all, t)
		}
	}
	return all
}
