package explorer

import (
	"encoding/base32"
	"encoding/hex"
	"sync"

	"github.com/filecoin-project/go-address"
	"github.com/ipfs/go-cid"
	"github.com/mr-tron/base58"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multibase"

	"github.com/perdure/perdure/chain"
)

// names writes addresses as a network does.
type names struct{ network chain.Network }

// addressWriters wait for addresses: lists are full of them.
var addressWriters = sync.Pool{New: func() any { return new(chain.AddressWriter) }}

func (n names) address(a chain.Address) string {
	w := addressWriters.Get().(*chain.AddressWriter)
	defer addressWriters.Put(w)
	return w.Format(a, n.network)
}

// addressBytes writes an address given as bytes; what is none is empty.
func (n names) addressBytes(b []byte) string {
	a, err := address.NewFromBytes(b)
	if err != nil {
		return ""
	}
	return n.address(a)
}

func (n names) minerText(id chain.MinerID) string { return chain.FormatMiner(id, n.network) }

func (n names) minerTexts(ids []chain.MinerID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = n.minerText(id)
	}
	return out
}

// cidText writes a CID as base32 version 1; an undefined one is empty.
func cidText(c cid.Cid) string {
	if !c.Defined() {
		return ""
	}
	if c.Version() == 0 {
		c = cid.NewCidV1(c.Type(), c.Hash())
	}
	var raw [64]byte
	var text [128]byte
	return string(cidBase.AppendEncode(append(text[:0], multibase.Base32), append(raw[:0], c.KeyString()...)))
}

// cidBase is the base of a CID's text. go-multibase takes four pieces of memory
// where one does, and lists are full of CIDs.
var cidBase = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func hexText(b []byte) string {
	var text [128]byte
	return string(hex.AppendEncode(text[:0], b))
}

// peerText writes a libp2p peer ID in base58.
func peerText(id []byte) string { return base58.Encode(id) }

// addrText writes a multiaddr; bytes that are none are written in hexadecimal.
func addrText(b []byte) string {
	a, err := multiaddr.NewMultiaddrBytes(b)
	if err != nil {
		return hexText(b)
	}
	return a.String()
}

func addrTexts(addrs [][]byte) []string {
	out := make([]string, len(addrs))
	for i, b := range addrs {
		out[i] = addrText(b)
	}
	return out
}
