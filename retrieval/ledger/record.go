package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"

	"github.com/perdure/perdure/chain"
)

// Promise is what a payer keeps of a lane: the newest voucher that it signed
// and the seed of its hash chain.
type Promise struct {
	Voucher  chain.SignedVoucher
	Seed     [32]byte
	Revealed uint64 // ticks surely revealed; after a crash it may be too low
	Settled  bool   // it is not: whoever revealed them has closed the book
}

// Holding is what a payee keeps of a lane: the newest voucher and the newest
// tick of it.
type Holding struct {
	Payer   chain.Address
	Voucher chain.SignedVoucher
	Ticks   uint64
	Tick    [32]byte // x_Ticks; the anchor when Ticks is 0
}

// Debt is what the sessions of a channel left unpaid.
type Debt struct {
	Unpaid uint64 // chunks sent and not paid
	Paid   uint64 // chunks paid since one was last made up for
}

// recordVersion stands before every stored value.
const recordVersion = 1

// The tables. A key is the table's byte, then u64be of the numbers named.
const (
	tablePromise  = 'p' // channel, lane: version || seed || CBOR(SignedVoucher)
	tableRevealed = 'r' // channel, lane, nonce: version || u64be ticks || u8 settled
	tableVoucher  = 'v' // channel, lane: version || u8 len || payer || CBOR(SignedVoucher)
	tableTick     = 't' // channel, lane, nonce: version || u64be ticks || tick
	tableDebt     = 'd' // channel: version || u64be unpaid || u64be paid

	tableReceipt = 'e' // To, then 32 bytes of its name: version || CBOR(SignedReceipt), not published yet
	tableNonce   = 'n' // 32 bytes of the name of a receipt that is not published yet: version
	tableBatch   = 'b' // batch: version || u8 state || root || u64be count || u64be bytes || u64be from || u64be to || u64be total
	tableLeaf    = 'l' // batch, index: version || CBOR(SignedReceipt); only of the newest batches
	tableRoot    = 'o' // root of a batch: version || u64be batch
)

var errRecord = errors.New("record is damaged")

func key(table byte, numbers ...uint64) []byte {
	k := append(make([]byte, 0, 1+8*len(numbers)), table)
	for _, n := range numbers {
		k = binary.BigEndian.AppendUint64(k, n)
	}
	return k
}

// after is the first key behind all that begin with the prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// body checks the version of a stored value and its least size.
func body(value []byte, least int) ([]byte, error) {
	if len(value) < 1+least {
		return nil, errRecord
	}
	if value[0] != recordVersion {
		return nil, fmt.Errorf("record version %d, want %d", value[0], recordVersion)
	}
	return value[1:], nil
}

func encodePromise(p *Promise) ([]byte, error) {
	voucher, err := chain.Encode(&p.Voucher)
	if err != nil {
		return nil, err
	}
	return append(append([]byte{recordVersion}, p.Seed[:]...), voucher...), nil
}

func decodePromise(value []byte) (*Promise, error) {
	b, err := body(value, 32)
	if err != nil {
		return nil, err
	}
	p := &Promise{Seed: [32]byte(b)}
	return p, chain.Decode(b[32:], &p.Voucher)
}

func encodeVoucher(payer chain.Address, v *chain.SignedVoucher) ([]byte, error) {
	voucher, err := chain.Encode(v)
	if err != nil {
		return nil, err
	}
	raw := payer.Bytes()
	return append(append([]byte{recordVersion, byte(len(raw))}, raw...), voucher...), nil
}

func decodeHolding(value []byte) (*Holding, error) {
	b, err := body(value, 1)
	if err != nil {
		return nil, err
	}
	n := int(b[0])
	if len(b) < 1+n {
		return nil, errRecord
	}
	h := new(Holding)
	if h.Payer, err = address.NewFromBytes(b[1 : 1+n]); err != nil {
		return nil, err
	}
	if err := chain.Decode(b[1+n:], &h.Voucher); err != nil {
		return nil, err
	}
	h.Tick = h.Voucher.Voucher.Anchor
	return h, nil
}

func encodeNumbers(numbers ...uint64) []byte {
	b := []byte{recordVersion}
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

func encodeRevealed(ticks uint64, settled bool) []byte {
	b := append(encodeNumbers(ticks), 0)
	if settled {
		b[len(b)-1] = 1
	}
	return b
}

func decodeTick(value []byte) (ticks uint64, tick [32]byte, err error) {
	b, err := body(value, 40)
	if err != nil {
		return 0, tick, err
	}
	return binary.BigEndian.Uint64(b), [32]byte(b[8:]), nil
}
