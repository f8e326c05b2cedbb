package chain

import "github.com/filecoin-project/go-state-types/crypto"

// MaxTicks is the most chunks that one voucher may pay.
const MaxTicks = 65536

// MaxLanes is the most lanes of a channel.
const MaxLanes = 16

// Voucher is a payer's promise: on this lane of this channel the payee may
// claim Amount, plus TickPrice for each revealed link of the hash chain that
// ends in Anchor. Amount is cumulative over the lane's vouchers.
//
//	tick k = x_k with SHA-256(x_k) = x_(k-1), x_0 = Anchor
type Voucher struct {
	Version   uint64
	ChainID   string
	Channel   uint64
	Lane      uint64
	Nonce     uint64
	Amount    Amount
	Anchor    [32]byte
	TickPrice Amount
	MaxTicks  uint64
	ChunkSize uint64 // most block bytes that one tick pays for
	ExpiresAt Height // last height at which it may be redeemed
}

// SignedVoucher is a voucher with the payer's secp256k1 signature.
type SignedVoucher struct {
	Voucher   Voucher
	Signature crypto.Signature
}

// SignBytes returns what the payer signs.
func (v *Voucher) SignBytes() ([]byte, error) {
	return SignBytes(DomainVoucher, v.Version, v.ChainID, v)
}

// OpenChannel locks money for one payee. The channel's ID is the result's ID.
type OpenChannel struct {
	Payee  Address
	Amount Amount
}

// Kind implements Body.
func (*OpenChannel) Kind() Kind { return KindOpenChannel }

// TopUpChannel adds money; only the payer may.
type TopUpChannel struct {
	Channel uint64
	Amount  Amount
}

// Kind implements Body.
func (*TopUpChannel) Kind() Kind { return KindTopUpChannel }

// RedeemVoucher pays the payee what a voucher and its newest tick prove beyond what was redeemed before.
type RedeemVoucher struct {
	Voucher SignedVoucher
	Ticks   uint64   // k; 0: only the voucher's amount
	Tick    [32]byte // x_k; the anchor when k is 0
}

// Kind implements Body.
func (*RedeemVoucher) Kind() Kind { return KindRedeemVoucher }

// SettleChannel starts closing; either side may. The payee can redeem until the delay is over.
type SettleChannel struct{ Channel uint64 }

// Kind implements Body.
func (*SettleChannel) Kind() Kind { return KindSettleChannel }

// CollectChannel repays the payer what is left once the settle delay is over, and deletes the channel.
type CollectChannel struct{ Channel uint64 }

// Kind implements Body.
func (*CollectChannel) Kind() Kind { return KindCollectChannel }

// Lane is a channel's sub-account.
type Lane struct {
	ID       uint64
	Nonce    uint64
	Digest   [32]byte // SHA-256 of the voucher of that nonce: equal nonce, other content is refused
	Redeemed Amount   // of the lane, cumulative
	Ticks    uint64   // redeemed of the voucher of that nonce
	Tip      [32]byte // x_Ticks
}

// Channel is the record of a payment channel.
type Channel struct {
	ID       uint64
	Payer    Address
	Payee    Address
	Balance  Amount // locked and not redeemed
	Redeemed Amount // paid to the payee so far
	Opened   Height
	SettleAt Height // 0: open; from here on it can be collected
	Lanes    []Lane `cborgen:"maxlen=16"`
}
