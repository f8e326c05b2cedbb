package explorer

import (
	"math/bits"
	"reflect"
	"strings"
	"sync"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
)

// kinds name the ways to write a field whose type does not tell how; verify.js
// knows them by the same names.
var kinds = map[string]func(n names, v reflect.Value) any{
	"miner": func(n names, v reflect.Value) any {
		if v.Uint() == 0 { // a genesis validator belongs to none
			return ""
		}
		return n.minerText(v.Uint())
	},
	"miners": func(n names, v reflect.Value) any { return n.minerTexts(v.Interface().([]chain.MinerID)) },
	"peer":   func(_ names, v reflect.Value) any { return peerText(v.Bytes()) },
	"addrs":  func(_ names, v reflect.Value) any { return addrTexts(v.Interface().([][]byte)) },
	"slots":  func(_ names, v reflect.Value) any { return bitsOf(v.Uint()) },
	"size":   func(_ names, v reflect.Value) any { return map[string]any{"bytes": v.Len()} },
}

// special are the fields that are written by their kind.
var special = map[string]string{
	"UpdateMiner.Miner": "miner", "PreCommitSectors.Miner": "miner", "ProveCommit.Miner": "miner", "SubmitWindowProof.Miner": "miner",
	"DeclareFaults.Miner": "miner", "DeclareRecoveries.Miner": "miner", "TerminateSectors.Miner": "miner", "ExtendSectors.Miner": "miner",
	"AcceptData.Miner": "miner", "PublishReceipts.Miner": "miner", "AskTerms.Miner": "miner",
	"Deal.Miner": "miner", "Sector.Miner": "miner", "Miner.ID": "miner", "Validator.Miner": "miner", "Holder.Miner": "miner",
	"BidTerms.Allow": "miners", "BidTerms.Deny": "miners", "Order.Miners": "miners", "Copies.Allow": "miners", "Copies.Deny": "miners",
	"BidTerms.ClientPeer": "peer", "Deal.ClientPeer": "peer", "Peer.ID": "peer", "Peer.Addrs": "addrs",
	"Sector.Proven": "slots", "Partition.Live": "slots", "Partition.Faulty": "slots", "Partition.Recovering": "slots", "Partition.Charged": "slots",
	"SubmitWindowProof.Skipped": "slots", "ProveCommit.Proof": "size", "SubmitWindowProof.Proof": "size",
}

// bitsOf lists the bits that are set in a mask.
func bitsOf(mask uint64) []int {
	out := []int{}
	for ; mask != 0; mask &= mask - 1 {
		out = append(out, bits.TrailingZeros64(mask))
	}
	return out
}

// noun writes a message's body or a record by the rules of the package, field
// by field.
func (n names) noun(v any) map[string]any { return n.fields(reflect.ValueOf(v).Elem()) }

func (n names) fields(v reflect.Value) map[string]any {
	shape := shapeOf(v.Type())
	out := make(map[string]any, len(shape))
	for i, f := range shape {
		v := v.Field(i)
		switch {
		case v.Kind() == reflect.Pointer && v.IsNil():
		case f.write != nil:
			out[f.key] = f.write(n, v)
		default:
			out[f.key] = n.value(v)
		}
	}
	return out
}

// field is how a field of a struct is written.
type field struct {
	key   string
	write func(n names, v reflect.Value) any // nil: by its type
}

// shapes are those of the types that were written: reflect.Type to []field.
var shapes sync.Map

func shapeOf(t reflect.Type) []field {
	if known, ok := shapes.Load(t); ok {
		return known.([]field)
	}
	shape := make([]field, t.NumField())
	for i := range shape {
		name := t.Field(i).Name
		shape[i] = field{camel(name), kinds[special[t.Name()+"."+name]]}
	}
	shapes.Store(t, shape)
	return shape
}

// value writes a value by its type.
func (n names) value(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case chain.Amount:
		return x.String()
	case chain.Address:
		return n.address(x)
	case cid.Cid:
		return cidText(x)
	case [32]byte:
		return hexText(x[:])
	case []byte:
		return hexText(x)
	case crypto.Signature:
		return map[string]any{"type": int(x.Type), "data": hexText(x.Data)}
	case abi.RegisteredSealProof:
		return int64(x)
	case chain.OrderState:
		return x.String()
	case chain.SectorState:
		return x.String()
	case chain.DealState:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Pointer:
		return n.value(v.Elem())
	case reflect.Struct:
		return n.fields(v)
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = n.value(v.Index(i))
		}
		return out
	}
	return v.Interface() // numbers, booleans, text
}

// camel writes a Go field's name as a JSON key: PieceCID is pieceCid.
func camel(name string) string {
	name = strings.NewReplacer("CID", "Cid", "ID", "Id").Replace(name)
	return strings.ToLower(name[:1]) + name[1:]
}
