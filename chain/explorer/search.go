package explorer

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/porep/piece"
)

// Found is a thing that a search found.
type Found struct {
	Type  string `json:"type"`  // block, message, account, miner, sector, deal, order, channel, payload, piece or validator
	ID    string `json:"id"`    // as the API writes it
	Path  string `json:"path"`  // where the API tells of it
	Exact bool   `json:"exact"` // it is called so; else its name begins so
}

// Search is all that a text may name.
type Search struct {
	Query string  `json:"query"`
	Items []Found `json:"items"` // what is called so, then what begins so
	AsOf
}

const (
	maxSearch    = 200 // bytes of a text
	usualFinds   = 20
	usualGuesses = 8
)

func (a *API) searchRoutes() []route {
	return []route{
		{path: "/v1/search", query: []string{"q", "limit"}, handle: a.search(usualFinds), indexed: true, cost: 2},
		{path: "/v1/search/suggest", query: []string{"q", "limit"}, handle: a.search(usualGuesses), indexed: true},
	}
}

// search finds what a text names, or the beginning of a text.
func (a *API) search(usual int) func(*query) (any, error) {
	return func(q *query) (any, error) {
		text := strings.TrimSpace(q.values.Get("q"))
		if text == "" || len(text) > maxSearch {
			return nil, badRequest("q: want 1 to %d bytes to search for", maxSearch)
		}
		most, err := q.most("limit", usual, usualFinds)
		if err != nil {
			return nil, err
		}
		s, err := q.indexed()
		if err != nil {
			return nil, err
		}
		f := &finder{query: q, s: s, most: most}
		if err := f.find(text); err != nil {
			return nil, err
		}
		return &Search{Query: text, Items: f.found(), AsOf: q.asOf()}, nil
	}
}

// finder looks for a text in all tables that have names.
type finder struct {
	*query
	s             *index.Snapshot
	text          string // in lower case, without what kind of thing it names
	kind          string // of what alone is looked for; empty: of all
	most          int
	exact, begins []Found
}

// found is what was found, each thing once.
func (f *finder) found() []Found {
	out, seen := []Found{}, map[string]bool{}
	for _, one := range append(f.exact, f.begins...) {
		if len(out) < f.most && !seen[one.Path] {
			seen[one.Path] = true
			out = append(out, one)
		}
	}
	return out
}

func (f *finder) is(kind, id, path string) {
	if f.kind == "" || f.kind == kind {
		f.exact = append(f.exact, Found{kind, id, path, true})
	}
}

func (f *finder) starts(kind, id, path string) {
	if f.kind == "" || f.kind == kind {
		f.begins = append(f.begins, Found{kind, id, path, false})
	}
}

// kindWords are the words by which people say what kind of thing they mean.
var kindWords = map[string]string{"block": "block", "height": "block", "message": "message", "tx": "message", "account": "account", "address": "account",
	"miner": "miner", "sector": "sector", "deal": "deal", "order": "order", "bid": "order", "ask": "order", "channel": "channel",
	"payload": "payload", "root": "payload", "ipfs": "payload", "piece": "piece", "validator": "validator"}

// kindOf takes the word off a text that says what kind of thing it names, as in
// "deal 7", "deal/7", "order #7" and "ipfs://CID".
func kindOf(text string) (kind, name string) {
	path := strings.TrimPrefix(text, "/")
	at := strings.IndexAny(path, " /:#")
	if at < 0 {
		return "", text
	}
	word, name := path[:at], strings.TrimLeft(path[at:], " /:#")
	if kind = kindWords[strings.ToLower(word)]; kind == "" || name == "" {
		return "", text
	}
	if kind == "payload" { // not what is inside it
		name, _, _ = strings.Cut(name, "/")
	}
	return kind, name
}

// find tries what the text may be by its form. text is as it was typed: CIDs of
// version 0 know capital letters.
func (f *finder) find(text string) error {
	f.kind, text = kindOf(text)
	f.text = strings.ToLower(text)
	for _, try := range []func() error{f.numbers, f.miners, f.hashes, f.addresses, func() error { return f.cids(text) }} {
		if err := try(); err != nil {
			return err
		}
	}
	return nil
}

// numbers takes "7" and "#1,000".
func (f *finder) numbers() error {
	n, err := strconv.ParseUint(strings.ReplaceAll(strings.TrimPrefix(f.text, "#"), ",", ""), 10, 63)
	if err != nil {
		return nil //nolint:nilerr // it is no number
	}
	id := strconv.FormatUint(n, 10)
	b, err := f.s.Block(chain.Height(n))
	if err != nil {
		return err
	}
	if b != nil {
		f.is("block", id, "/v1/blocks/"+id)
	}
	for _, of := range []struct {
		kind, path string
		key        chain.Key
	}{{"deal", "/v1/deals/", chain.DealKey(n)}, {"order", "/v1/orders/", chain.OrderKey(n)}, {"channel", "/v1/channels/", chain.ChannelKey(n)}} {
		if err := f.record(of.kind, id, of.path+id, of.key); err != nil {
			return err
		}
	}
	return f.record("miner", f.minerText(n), "/v1/miners/"+f.minerText(n), chain.MinerKey(n))
}

// record notes a record if there is one.
func (f *finder) record(kind, id, path string, key chain.Key) error {
	r, err := f.s.Record(key)
	if err == nil && r != nil {
		f.is(kind, id, path)
	}
	return err
}

// miners takes t01000, the beginning of it, and t01000/7, one of its sectors.
func (f *finder) miners() error {
	text, number, sector := strings.Cut(f.text, "/")
	if len(text) < 3 || text[1] != '0' || text[0] != 't' && text[0] != 'f' {
		return nil
	}
	id, err := strconv.ParseUint(text[2:], 10, 62)
	if err != nil {
		return nil //nolint:nilerr // it is no miner
	}
	if sector {
		n, err := strconv.ParseUint(number, 10, 63)
		if err != nil {
			return nil //nolint:nilerr // it is no sector
		}
		path := fmt.Sprintf("/v1/sectors/%s/%d", f.minerText(id), n)
		return f.record("sector", fmt.Sprintf("%s/%d", f.minerText(id), n), path, chain.SectorKey(id, n))
	}
	if err := f.record("miner", f.minerText(id), "/v1/miners/"+f.minerText(id), chain.MinerKey(id)); err != nil {
		return err
	}
	last := f.global.NextMiner - 1
	if id == 0 || id > last { // what begins so is higher yet
		return nil
	}
	for low, high := id*10, id*10+10; low <= last && len(f.begins) < f.most; low, high = low*10, high*10 {
		_, err := f.s.Records(index.Miners(index.MinerFilter{}), index.Page{After: place(low - 1), Limit: f.most, Upward: true}, func(r *index.Record) (bool, error) {
			id := parsePlace([]byte(r.Key.ID))
			if id >= high {
				return false, errBeyond
			}
			f.starts("miner", f.minerText(id), "/v1/miners/"+f.minerText(id))
			return true, nil
		})
		if _, err := ended(nil, err); err != nil {
			return err
		}
	}
	return nil
}

// leastBits is how much of a hash or an address one has to type before what
// begins so is shown.
const leastBits = 16

// hashes takes hexadecimal: of a message, a block or a validator.
func (f *finder) hashes() error {
	text := strings.TrimPrefix(f.text, "0x")
	b, ok := hexBits(text)
	if !ok || b.Count < leastBits || b.Count > 256 {
		return nil
	}
	messages, err := f.s.FindMessages(b, f.most)
	if err != nil {
		return err
	}
	for _, h := range messages {
		f.name("message", h.String(), "/v1/messages/"+h.String(), b.Count == 256)
	}
	if b.Count == 256 {
		if h, ok := f.api.findBlock(b.Bytes); ok {
			id := strconv.FormatUint(uint64(h), 10)
			f.is("block", id, "/v1/blocks/"+id)
		}
	}
	if b.Count > 160 {
		return nil
	}
	keys, err := f.s.FindRecords(chain.TableVoteKey, b, f.most)
	for _, k := range keys {
		id := hexText([]byte(k.ID))
		f.name("validator", id, "/v1/validators/"+id, b.Count == 160)
	}
	return err
}

func (f *finder) name(kind, id, path string, exact bool) {
	if exact {
		f.is(kind, id, path)
	} else {
		f.starts(kind, id, path)
	}
}

// hexBits reads the beginning of a hexadecimal number.
func hexBits(text string) (index.Bits, bool) {
	padded := text
	if len(text)%2 == 1 {
		padded += "0"
	}
	raw, err := hex.DecodeString(padded)
	return index.Bits{Bytes: raw, Count: 4 * len(text)}, err == nil
}

// addresses takes the address of an account, or its beginning.
func (f *finder) addresses() error {
	if a, err := chain.ParseAddress(f.text); err == nil {
		if chain.IsKeyAddress(a) {
			return f.record("account", f.address(a), "/v1/accounts/"+f.address(a), chain.AccountKey(a))
		}
		return nil
	}
	if len(f.text) < 3 || f.text[0] != 't' && f.text[0] != 'f' || f.text[1] < '1' || f.text[1] > '3' {
		return nil
	}
	size := 20 * 8 // of what the address is a hash of
	if f.text[1] == '3' {
		size = 48 * 8
	}
	b, ok := base32Bits(f.text[2:])
	if !ok || b.Count > size || b.Count < leastBits {
		return nil
	}
	b = index.Bits{Bytes: append([]byte{f.text[1] - '0'}, b.Bytes...), Count: 8 + b.Count}
	keys, err := f.s.FindRecords(chain.TableAccount, b, f.most)
	for _, k := range keys {
		id := f.addressBytes([]byte(k.ID))
		f.starts("account", id, "/v1/accounts/"+id)
	}
	return err
}

// base32Bits reads the beginning of what is written in base32: five bits a letter.
func base32Bits(text string) (index.Bits, bool) {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	b := index.Bits{Count: 5 * len(text), Bytes: make([]byte, (5*len(text)+7)/8)}
	for i, r := range []byte(text) {
		v := strings.IndexByte(letters, r)
		if v < 0 {
			return b, false
		}
		for bit := range 5 {
			if v&(16>>bit) != 0 {
				at := 5*i + bit
				b.Bytes[at/8] |= 128 >> (at % 8)
			}
		}
	}
	return b, true
}

// The lengths in bytes of CIDs that are found by their beginning: of a payload
// in SHA-256, and of a piece.
var (
	rootLength  = 1 + 1 + 2 + 32
	pieceLength = piece.UnsealedCID([32]byte{}).ByteLen()
)

// cids takes the CID of content or of a piece, or its beginning in base32.
func (f *finder) cids(text string) error {
	if c, err := cid.Decode(text); err == nil && len(c.Bytes()) <= 128 {
		return f.cid(cid.NewCidV1(c.Type(), c.Hash()))
	}
	if !strings.HasPrefix(f.text, "b") {
		return nil
	}
	b, ok := base32Bits(f.text[1:])
	if !ok || b.Count < leastBits {
		return nil
	}
	if b.Count <= 8*rootLength {
		roots, err := f.s.FindRoots(b, rootLength, f.most)
		if err != nil {
			return err
		}
		for _, c := range roots {
			f.starts("payload", cidText(c), dealsWith("root", c))
		}
	}
	if b.Count <= 8*pieceLength {
		pieces, err := f.s.FindPieces(b, pieceLength, f.most)
		if err != nil {
			return err
		}
		for _, c := range pieces {
			f.starts("piece", cidText(c), dealsWith("piece", c))
		}
	}
	return nil
}

// cid looks for the deals over a CID.
func (f *finder) cid(c cid.Cid) error {
	for _, of := range []struct {
		kind, filter string
		list         index.List
	}{{"payload", "root", index.Deals(index.DealFilter{Root: c})}, {"piece", "piece", index.Deals(index.DealFilter{Piece: pieceOf(c)})}} {
		any := false
		_, err := f.s.Records(of.list, index.Page{Limit: 1}, func(*index.Record) (bool, error) {
			any = true
			return true, nil
		})
		if err != nil {
			return err
		}
		if !any && of.kind == "payload" && f.api.config.Hints != nil {
			f.unsteady = true
			any = len(f.api.config.Hints.Of(c, 1)) > 0
		}
		if any {
			f.is(of.kind, cidText(c), dealsWith(of.filter, c))
		}
	}
	return nil
}

func dealsWith(filter string, c cid.Cid) string {
	return "/v1/deals?" + filter + "=" + url.QueryEscape(cidText(c))
}
