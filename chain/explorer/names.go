package explorer

import (
	"encoding/hex"
	"sync"

	"github.com/filecoin-project/go-address"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/ipfs/go-cid"
	"github.com/mr-tron/base58"
	"github.com/multiformats/go-multiaddr"

	"github.com/perdure/perdure/chain"
)

// names writes addresses as a network does.
type names struct{ network chain.Network }

func (n names) address(a chain.Address) string {
	k := named{n.network, a}
	if text, ok := texts().Get(k); ok {
		return text
	}
	text := chain.FormatAddress(a, n.network)
	texts().Add(k, text)
	return text
}

// named is an address as a network writes it.
type named struct {
	network chain.Network
	address chain.Address
}

// texts are the addresses that were written lately: each takes a checksum, and a page
// of a list has the same ones again and again.
var texts = sync.OnceValue(func() *lru.Cache[named, string] {
	c, err := lru.New[named, string](1 << 13)
	if err != nil {
		panic(err) // the size is one
	}
	return c
})

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
	return cid.NewCidV1(c.Type(), c.Hash()).String()
}

func hexText(b []byte) string { return hex.EncodeToString(b) }

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
