package chain

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/minio/sha256-simd"
	cbg "github.com/whyrusleeping/cbor-gen"
)

// MessageVersion is the version of messages and vouchers that this code writes.
const MessageVersion = 1

// MaxEncodedMessage bounds a signed message in bytes before it is decoded;
// Params may set a lower limit.
const MaxEncodedMessage = 2 << 20

// Kind says which body a message carries. Numbers are on the wire: never reuse one.
type Kind uint64

// The message kinds.
const (
	KindTransfer          Kind = 1
	KindCreateMiner       Kind = 10
	KindUpdateMiner       Kind = 11
	KindPreCommitSectors  Kind = 20
	KindProveCommit       Kind = 21
	KindSubmitWindowProof Kind = 22
	KindDeclareFaults     Kind = 23
	KindDeclareRecoveries Kind = 24
	KindTerminateSectors  Kind = 25
	KindExtendSectors     Kind = 26
	KindPlaceBid          Kind = 30
	KindPlaceAsk          Kind = 31
	KindCancelOrder       Kind = 32
	KindAcceptData        Kind = 33
	KindSettleDeals       Kind = 34
	KindReplaceOrder      Kind = 35
	KindSetRenewal        Kind = 36
	KindPublishReceipts   Kind = 37
	KindOpenChannel       Kind = 40
	KindTopUpChannel      Kind = 41
	KindRedeemVoucher     Kind = 42
	KindSettleChannel     Kind = 43
	KindCollectChannel    Kind = 44
	KindPropose           Kind = 50
	KindApprove           Kind = 51
)

var kindNames = [...]struct {
	kind Kind
	name string
}{
	{KindTransfer, "Transfer"}, {KindCreateMiner, "CreateMiner"}, {KindUpdateMiner, "UpdateMiner"},
	{KindPreCommitSectors, "PreCommitSectors"}, {KindProveCommit, "ProveCommit"},
	{KindSubmitWindowProof, "SubmitWindowProof"}, {KindDeclareFaults, "DeclareFaults"},
	{KindDeclareRecoveries, "DeclareRecoveries"}, {KindTerminateSectors, "TerminateSectors"},
	{KindExtendSectors, "ExtendSectors"}, {KindPlaceBid, "PlaceBid"}, {KindPlaceAsk, "PlaceAsk"},
	{KindCancelOrder, "CancelOrder"}, {KindAcceptData, "AcceptData"}, {KindSettleDeals, "SettleDeals"},
	{KindReplaceOrder, "ReplaceOrder"}, {KindSetRenewal, "SetRenewal"}, {KindPublishReceipts, "PublishReceipts"},
	{KindOpenChannel, "OpenChannel"}, {KindTopUpChannel, "TopUpChannel"}, {KindRedeemVoucher, "RedeemVoucher"},
	{KindSettleChannel, "SettleChannel"}, {KindCollectChannel, "CollectChannel"},
	{KindPropose, "Propose"}, {KindApprove, "Approve"},
}

// String returns the kind's name, as JSON shows it.
func (k Kind) String() string {
	for _, n := range kindNames {
		if n.kind == k {
			return n.name
		}
	}
	return fmt.Sprintf("Kind(%d)", uint64(k))
}

// Message is an instruction to the chain, before it is signed.
type Message struct {
	Version uint64
	From    Address // key address of the signer
	Nonce   uint64  // the account's next; 0 and unused for SubmitWindowProof
	MaxFee  Amount  // most that base fee and tip together may cost, attoPDR
	Tip     Amount  // paid on top to the proposer, attoPDR
	Kind    Kind
	Body    []byte `cborgen:"maxlen=2097152"` // CBOR of the body named by Kind
}

// SignedMessage is a message with its sender's secp256k1 signature.
type SignedMessage struct {
	Message   Message
	Signature crypto.Signature
}

// CBOR is implemented by every noun that travels or is stored.
type CBOR interface {
	cbg.CBORMarshaler
	cbg.CBORUnmarshaler
}

// Encode returns the canonical encoding of v.
func Encode(v cbg.CBORMarshaler) ([]byte, error) {
	var b bytes.Buffer
	if err := v.MarshalCBOR(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// ErrNotCanonical is returned for bytes that decode but are not the one
// encoding of what they say: every noun has exactly one.
var ErrNotCanonical = errors.New("encoding is not canonical")

// Decode reads v from exactly the bytes b, and refuses trailing bytes and
// every encoding but the canonical one.
func Decode(b []byte, v CBOR) error {
	if err := v.UnmarshalCBOR(bytes.NewReader(b)); err != nil {
		return err
	}
	again := comparer{b}
	if err := v.MarshalCBOR(&again); err != nil {
		return err
	}
	if len(again.rest) > 0 {
		return ErrNotCanonical
	}
	return nil
}

// comparer is a writer to which one text can be written, whose rest it holds.
type comparer struct{ rest []byte }

// Write implements io.Writer.
func (c *comparer) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(c.rest, p) {
		return 0, ErrNotCanonical
	}
	c.rest = c.rest[len(p):]
	return len(p), nil
}

// Hash is the SHA-256 of a signed message's encoding: its name in the explorer,
// in CometBFT and in every receipt.
type Hash [32]byte

// String returns lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes lower-case hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (h *Hash) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(h) || len(b)%2 != 0 {
		return fmt.Errorf("hash %q: want 64 hexadecimal digits", b)
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// HashBytes names an encoded signed message.
func HashBytes(encoded []byte) Hash { return sha256.Sum256(encoded) }

// The domains of sign-bytes. Each kind of signature has its own, so that one
// can never be shown as another.
const (
	DomainMessage = "perdure/message"
	DomainVoucher = "perdure/voucher"
	DomainReceipt = "perdure/receipt"
)

// SignBytes returns domain || 0 || u64BE(version) || u64BE(len(chainID)) ||
// chainID || CBOR(v): what is signed for v on the named chain.
func SignBytes(domain string, version uint64, chainID string, v cbg.CBORMarshaler) ([]byte, error) {
	b := bytes.NewBuffer(signPrefix(domain, version, chainID, 0))
	if err := v.MarshalCBOR(b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// signPrefix is what stands before the CBOR in sign-bytes, with room for more.
func signPrefix(domain string, version uint64, chainID string, more int) []byte {
	b := make([]byte, 0, len(domain)+1+16+len(chainID)+more)
	b = append(append(b, domain...), 0)
	b = be64(be64(b, version), uint64(len(chainID)))
	return append(b, chainID...)
}

// SignBytes returns what From signs.
func (m *Message) SignBytes(chainID string) ([]byte, error) {
	return SignBytes(DomainMessage, m.Version, chainID, m)
}

// SignBytesIn is SignBytes of the message in a signed one of which raw is the
// encoding: it copies what stands there in place of encoding it again.
func (m *SignedMessage) SignBytesIn(raw []byte, chainID string) ([]byte, error) {
	signature, err := Encode(&m.Signature)
	if err != nil {
		return nil, err
	}
	const head = 1 // of a list of two
	if len(raw) < head+len(signature) {
		return nil, fmt.Errorf("%d bytes are not the encoding of a signed message", len(raw))
	}
	message := raw[head : len(raw)-len(signature)]
	return append(signPrefix(DomainMessage, m.Message.Version, chainID, len(message)), message...), nil
}

// Verify checks that From signed the message for the named chain. raw is the
// encoding of the signed message.
func (m *SignedMessage) Verify(raw []byte, chainID string) error {
	text, err := m.SignBytesIn(raw, chainID)
	if err != nil {
		return err
	}
	return VerifySignature(&m.Signature, m.Message.From, text)
}

// Body is a message's content: one noun per kind.
type Body interface {
	CBOR
	Kind() Kind
}

// MinerBody is implemented by each body that names the miner that it is about. One
// that a body names for another reason, as a bid does those that it allows, is no
// such miner.
type MinerBody interface {
	Body
	OfMiner() MinerID
}

// NewBody returns an empty body of the kind, or false for an unknown kind.
func NewBody(k Kind) (Body, bool) {
	switch k {
	case KindTransfer:
		return new(Transfer), true
	case KindCreateMiner:
		return new(CreateMiner), true
	case KindUpdateMiner:
		return new(UpdateMiner), true
	case KindPreCommitSectors:
		return new(PreCommitSectors), true
	case KindProveCommit:
		return new(ProveCommit), true
	case KindSubmitWindowProof:
		return new(SubmitWindowProof), true
	case KindDeclareFaults:
		return new(DeclareFaults), true
	case KindDeclareRecoveries:
		return new(DeclareRecoveries), true
	case KindTerminateSectors:
		return new(TerminateSectors), true
	case KindExtendSectors:
		return new(ExtendSectors), true
	}
	return newMarketBody(k)
}

func newMarketBody(k Kind) (Body, bool) {
	switch k {
	case KindPlaceBid:
		return new(PlaceBid), true
	case KindPlaceAsk:
		return new(PlaceAsk), true
	case KindCancelOrder:
		return new(CancelOrder), true
	case KindAcceptData:
		return new(AcceptData), true
	case KindSettleDeals:
		return new(SettleDeals), true
	case KindReplaceOrder:
		return new(ReplaceOrder), true
	case KindSetRenewal:
		return new(SetRenewal), true
	case KindPublishReceipts:
		return new(PublishReceipts), true
	case KindOpenChannel:
		return new(OpenChannel), true
	case KindTopUpChannel:
		return new(TopUpChannel), true
	case KindRedeemVoucher:
		return new(RedeemVoucher), true
	case KindSettleChannel:
		return new(SettleChannel), true
	case KindCollectChannel:
		return new(CollectChannel), true
	case KindPropose:
		return new(Propose), true
	case KindApprove:
		return new(Approve), true
	}
	return nil, false
}

// DecodeBody reads the message's body, strictly.
func (m *Message) DecodeBody() (Body, error) {
	b, ok := NewBody(m.Kind)
	if !ok {
		return nil, fmt.Errorf("unknown message kind %d", uint64(m.Kind))
	}
	if err := Decode(m.Body, b); err != nil {
		return nil, fmt.Errorf("decode %s body: %w", m.Kind, err)
	}
	return b, nil
}

// DecodeSigned reads a signed message from a transaction's bytes, strictly.
func DecodeSigned(tx []byte) (*SignedMessage, error) {
	if len(tx) > MaxEncodedMessage {
		return nil, fmt.Errorf("message of %d bytes exceeds %d", len(tx), MaxEncodedMessage)
	}
	m := new(SignedMessage)
	if err := Decode(tx, m); err != nil {
		return nil, fmt.Errorf("decode message: %w", err)
	}
	if m.Message.Version != MessageVersion {
		return nil, fmt.Errorf("message version %d, want %d", m.Message.Version, MessageVersion)
	}
	return m, nil
}
