package compat

import (
	"encoding/hex"
	"math/bits"
	"net/http"
	"strconv"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/explorer"
)

// blockscout are the routes in the form of Blockscout's API of version 2.
func blockscout() []route {
	r := func(path string, cost int, handle func(*visit) (any, error), query ...string) route {
		return route{"/api/v2" + path, query, handle, scoutProblem, cost}
	}
	return []route{
		r("/blocks", 1, scoutBlocks, "cursor"),
		r("/blocks/{block}", 1, scoutBlock),
		r("/blocks/{block}/transactions", costly, scoutBlockTransactions, "cursor"),
		r("/main-page/blocks", 1, scoutFrontBlocks),
		r("/transactions", costly, scoutTransactions, "cursor"),
		r("/transactions/{hash}", 1, scoutTransaction),
		r("/main-page/transactions", costly, scoutFrontTransactions),
		r("/addresses/{address}", 1, scoutAddress),
		r("/addresses/{address}/transactions", costly, scoutAddressTransactions, "cursor"),
		r("/search", 1, scoutSearch, "q"),
		r("/search/check-redirect", 1, scoutRedirect, "q"),
		r("/stats", 1, scoutStats),
	}
}

// scoutList is a page of a list. Its Next holds the parameters of the next
// page; null at the end.
type scoutList[T any] struct {
	Items []T       `json:"items"`
	Next  *scoutEnd `json:"next_page_params"`
}

// scoutEnd is where a page ended.
type scoutEnd struct {
	Cursor string `json:"cursor"`
}

func endOf(next string) *scoutEnd {
	if next == "" {
		return nil
	}
	return &scoutEnd{next}
}

// scoutParty is an address as Blockscout's answers have it.
type scoutParty struct {
	Hash       string   `json:"hash"`
	IsContract bool     `json:"is_contract"`
	IsVerified bool     `json:"is_verified"`
	Name       *string  `json:"name"`
	PublicTags []string `json:"public_tags"`
}

func party(address string) *scoutParty {
	if address == "" {
		return nil
	}
	return &scoutParty{Hash: address, PublicTags: []string{}}
}

// scoutedBlock is a block. What the engine no longer keeps is null.
type scoutedBlock struct {
	Height       chain.Height `json:"height"`
	Hash         *string      `json:"hash"`
	ParentHash   *string      `json:"parent_hash"`
	Timestamp    string       `json:"timestamp"`
	Transactions uint64       `json:"transactions_count"`
	Miner        *scoutParty  `json:"miner"` // the proposer, by its consensus address
	Size         uint64       `json:"size"`  // of the block; of its messages where the engine keeps it no more
	GasUsed      string       `json:"gas_used"`
	GasLimit     string       `json:"gas_limit"`
	GasPercent   float64      `json:"gas_used_percentage"`
	Fees         string       `json:"transaction_fees"`
	Type         string       `json:"type"`
	Uncles       []string     `json:"uncles_hashes"`
	Rewards      []string     `json:"rewards"`
}

func (v *visit) scoutBlockOf(b *explorer.Block, limit uint64) *scoutedBlock {
	out := &scoutedBlock{Height: b.Height, Timestamp: b.Time, Transactions: b.Messages, Miner: party(b.Proposer), Size: b.Bytes, GasUsed: decimal(b.Units),
		GasLimit: decimal(limit), GasPercent: share(b.Units, limit), Fees: b.Fees.String(), Type: "block", Uncles: []string{}, Rewards: []string{}}
	if h := v.engine.Header(b.Height); h != nil {
		hash, parent := hex.EncodeToString(h.ID.Hash), hex.EncodeToString(h.Last.Hash)
		out.Hash, out.ParentHash, out.Size = &hash, &parent, uint64(h.Size)
	}
	return out
}

// share is a part of a whole in percent, with two decimals.
func share(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	hi, lo := bits.Mul64(part, 10_000)
	if hi >= whole { // beyond all percentages
		return 0
	}
	q, _ := bits.Div64(hi, lo, whole)
	return float64(q) / 100
}

// unitsOf is how many units a block may have.
func (v *visit) unitsOf() (uint64, error) {
	p, err := ask[explorer.Parameters](v, "/v1/params")
	if err != nil {
		return 0, err
	}
	return p.MaxBlockUnits, nil
}

func (v *visit) scoutBlockList(limit string) (*scoutList[*scoutedBlock], error) {
	l, err := ask[explorer.List[*explorer.Block]](v, "/v1/blocks", "limit", limit, "cursor", v.param("cursor"))
	if err != nil {
		return nil, err
	}
	units, err := v.unitsOf()
	if err != nil {
		return nil, err
	}
	out := &scoutList[*scoutedBlock]{Items: []*scoutedBlock{}, Next: endOf(l.Next)}
	for _, b := range l.Items {
		out.Items = append(out.Items, v.scoutBlockOf(b, units))
	}
	return out, nil
}

// How many items Blockscout's lists have, and those on its front page.
const (
	scoutPage  = "50"
	scoutFront = "6"
)

func scoutBlocks(v *visit) (any, error) { return v.scoutBlockList(scoutPage) }

func scoutFrontBlocks(v *visit) (any, error) {
	l, err := v.scoutBlockList(scoutFront)
	if err != nil {
		return nil, err
	}
	return l.Items, nil
}

// blockNamed finds the height of a block that the path names by height or hash.
func (v *visit) blockNamed(name string) (string, error) {
	if raw, err := hex.DecodeString(trimHex(name)); err == nil && len(raw) == 32 {
		h, ok := v.engine.Find(raw)
		if !ok {
			return "", refusal(http.StatusNotFound, "no block that is kept here has that hash")
		}
		return decimal(h), nil
	}
	return name, nil
}

// trimHex takes away what other chains write before hexadecimal.
func trimHex(s string) string {
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		return s[2:]
	}
	return s
}

func scoutBlock(v *visit) (any, error) {
	height, err := v.blockNamed(v.part("block"))
	if err != nil {
		return nil, err
	}
	b, err := ask[explorer.BlockDetail](v, "/v1/blocks/"+escape(height))
	if err != nil {
		return nil, err
	}
	units, err := v.unitsOf()
	if err != nil {
		return nil, err
	}
	return v.scoutBlockOf(b.Block, units), nil
}

// scoutedMessage is a message as a transaction.
type scoutedMessage struct {
	Hash          string       `json:"hash"`
	Block         chain.Height `json:"block_number"`
	Timestamp     string       `json:"timestamp"`
	Status        string       `json:"status"` // ok or error
	Result        string       `json:"result"` // success, or why not
	Method        string       `json:"method"` // the message's kind
	From          *scoutParty  `json:"from"`   // null if it does not decode
	To            *scoutParty  `json:"to"`     // who is paid, or the miner that it is about; null if there is none
	Value         string       `json:"value"`
	Fee           scoutFee     `json:"fee"`
	GasUsed       string       `json:"gas_used"`
	GasPrice      *string      `json:"gas_price"` // null: a fee counts bytes as well as units
	Priority      *string      `json:"priority_fee"`
	Nonce         uint64       `json:"nonce"`
	Position      uint64       `json:"position"`
	Confirmations uint64       `json:"confirmations"`
	Types         []string     `json:"transaction_types"`
}

type scoutFee struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

func scoutMessageOf(m *explorer.MessageContent, tip chain.Height) *scoutedMessage {
	t := transferOf(m.Body)
	out := &scoutedMessage{Hash: m.Hash, Block: m.Height, Timestamp: m.Time, Status: "ok", Result: "success", Method: m.Kind, From: party(m.From),
		To: party(t.to), Value: t.value, Fee: scoutFee{"actual", m.Fee.String()}, GasUsed: decimal(m.Units), Nonce: m.Nonce, Position: m.Index,
		Confirmations: uint64(tip) + 1 - min(uint64(m.Height), uint64(tip)), Types: []string{"contract_call"}}
	if m.Kind == chain.KindTransfer.String() {
		out.Types = []string{"coin_transfer"}
	}
	if m.Code != consensus.CodeOK.String() {
		out.Status, out.Result = "error", m.Error
	}
	if m.Tip != nil {
		tip := m.Tip.String()
		out.Priority = &tip
	}
	return out
}

func (v *visit) scoutMessageList(path, limit string, query ...string) (*scoutList[*scoutedMessage], error) {
	l, err := v.messages(path, append(query, "limit", limit, "cursor", v.param("cursor"))...)
	if err != nil {
		return nil, err
	}
	out := &scoutList[*scoutedMessage]{Items: []*scoutedMessage{}, Next: endOf(l.Next)}
	for _, m := range l.Items {
		out.Items = append(out.Items, scoutMessageOf(m, l.Height))
	}
	return out, nil
}

func scoutTransactions(v *visit) (any, error) { return v.scoutMessageList("/v1/messages", scoutPage) }

func scoutFrontTransactions(v *visit) (any, error) {
	l, err := v.scoutMessageList("/v1/messages", scoutFront)
	if err != nil {
		return nil, err
	}
	return l.Items, nil
}

func scoutBlockTransactions(v *visit) (any, error) {
	height, err := v.blockNamed(v.part("block"))
	if err != nil {
		return nil, err
	}
	return v.scoutMessageList("/v1/blocks/"+escape(height)+"/messages", scoutPage)
}

func scoutAddressTransactions(v *visit) (any, error) {
	return v.scoutMessageList("/v1/messages", scoutPage, "address", v.part("address"))
}

func scoutTransaction(v *visit) (any, error) {
	m, err := ask[explorer.MessageDetail](v, "/v1/messages/"+escape(trimHex(v.part("hash"))))
	if err != nil {
		return nil, err
	}
	tip, err := v.tip()
	if err != nil {
		return nil, err
	}
	return scoutMessageOf(m.MessageContent, tip), nil
}

// scoutedAddress is an account or a miner.
type scoutedAddress struct {
	scoutParty
	Balance   string       `json:"coin_balance"`
	BalanceAt chain.Height `json:"block_number_balance_updated_at"`
	Tokens    bool         `json:"has_tokens"`
	Logs      bool         `json:"has_logs"`
	Rate      *string      `json:"exchange_rate"`
}

func scoutAddress(v *visit) (any, error) {
	who, balance, at, err := v.balanceOf(v.part("address"))
	if err != nil {
		return nil, err
	}
	return &scoutedAddress{scoutParty: *party(who), Balance: balance, BalanceAt: at}, nil
}

// balanceOf is the free money of an account or a miner, and its name as the
// API writes it.
func (v *visit) balanceOf(address string) (who, balance string, at chain.Height, err error) {
	if _, err := chain.ParseMiner(address); err == nil {
		m, err := ask[explorer.MinerDetail](v, "/v1/miners/"+escape(address))
		if err != nil {
			return "", "", 0, err
		}
		return m.Miner.Miner, m.Balance.String(), m.AsOf.Height, nil
	}
	a, err := ask[explorer.Account](v, "/v1/accounts/"+escape(address))
	switch {
	case err != nil:
		return "", "", 0, err
	case !a.Exists:
		return "", "", 0, refusal(http.StatusNotFound, "that account was never used")
	}
	return a.Address, a.Balance.String(), a.Height, nil
}

// scoutFind is something that was searched for.
type scoutFind struct {
	Type        string        `json:"type"` // block, transaction or address
	URL         string        `json:"url"`  // of its page here
	BlockNumber *chain.Height `json:"block_number,omitempty"`
	BlockHash   *string       `json:"block_hash,omitempty"`
	Transaction string        `json:"transaction_hash,omitempty"`
	Address     string        `json:"address_hash,omitempty"`
	Timestamp   string        `json:"timestamp,omitempty"`
	Priority    int           `json:"priority"`
}

// named is what a text names: a block by height or hash, a message, an address.
func (v *visit) named(q string) ([]*scoutFind, error) {
	var out []*scoutFind
	try := func(f *scoutFind, err error) error {
		if err == nil {
			out = append(out, f)
		} else if !missing(err) {
			return err
		}
		return nil
	}
	if q == "" {
		return out, nil
	}
	_, notNumber := strconv.ParseUint(q, 10, 63)
	if height, err := v.blockNamed(q); err == nil && (notNumber == nil || height != q) {
		b, err := ask[explorer.BlockDetail](v, "/v1/blocks/"+escape(height))
		f := &scoutFind{Type: "block"}
		if err == nil {
			s := v.scoutBlockOf(b.Block, 0)
			f.URL, f.BlockNumber, f.BlockHash, f.Timestamp = "/block/"+decimal(b.Height), &b.Height, s.Hash, b.Time
		}
		if err := try(f, err); err != nil {
			return nil, err
		}
	}
	m, err := ask[explorer.MessageDetail](v, "/v1/messages/"+escape(trimHex(q)))
	f := &scoutFind{Type: "transaction"}
	if err == nil {
		f.URL, f.Transaction, f.Timestamp = "/message/"+m.Hash, m.Hash, m.Time
	}
	if err := try(f, err); err != nil {
		return nil, err
	}
	who, _, _, err := v.balanceOf(q)
	f = &scoutFind{Type: "address", URL: "/account/" + who, Address: who}
	if _, notMiner := chain.ParseMiner(q); notMiner == nil {
		f.URL = "/miner/" + who
	}
	return out, try(f, err)
}

func scoutSearch(v *visit) (any, error) {
	found, err := v.named(v.param("q"))
	if err != nil {
		return nil, err
	}
	return &scoutList[*scoutFind]{Items: append([]*scoutFind{}, found...)}, nil
}

// scoutWay says where a text leads that names one thing.
type scoutWay struct {
	Redirect  bool    `json:"redirect"`
	Type      *string `json:"type"`
	Parameter *string `json:"parameter"`
}

func scoutRedirect(v *visit) (any, error) {
	found, err := v.named(v.param("q"))
	if err != nil || len(found) != 1 {
		return &scoutWay{}, err
	}
	f := found[0]
	name := f.Transaction + f.Address
	if f.BlockNumber != nil {
		name = decimal(*f.BlockNumber)
	}
	return &scoutWay{true, &f.Type, &name}, nil
}

// scoutStatistics are the network's figures. Those that we do not count are null.
type scoutStatistics struct {
	Blocks       string   `json:"total_blocks"`
	Addresses    *string  `json:"total_addresses"` // accounts
	Transactions *string  `json:"total_transactions"`
	BlockTime    float64  `json:"average_block_time"` // milliseconds, of the newest blocks
	Gas          scoutGas `json:"gas_prices"`         // attoPDR a unit
	Utilisation  float64  `json:"network_utilization_percentage"`
	CoinPrice    *string  `json:"coin_price"`
	MarketCap    *string  `json:"market_cap"`
	Today        *string  `json:"transactions_today"` // of the last 24 hours
	GasToday     *string  `json:"gas_used_today"`
	Coin         *string  `json:"coin_image"`
}

// scoutGas are prices of gas for the patient and for the hasty: the base fee is
// the same for all.
type scoutGas struct {
	Slow    string `json:"slow"`
	Average string `json:"average"`
	Fast    string `json:"fast"`
}

func scoutStats(v *visit) (any, error) {
	s, err := ask[explorer.Stats](v, "/v1/stats")
	if err != nil {
		return nil, err
	}
	l, err := ask[explorer.List[*explorer.Block]](v, "/v1/blocks", "limit", "1")
	if err != nil {
		return nil, err
	}
	units, err := v.unitsOf()
	if err != nil {
		return nil, err
	}
	fee, accounts, today := s.BaseFee.String(), decimal(s.Counts.Accounts), decimal(s.Day.Messages)
	out := &scoutStatistics{Blocks: decimal(s.Height), Addresses: &accounts, Today: &today, Gas: scoutGas{fee, fee, fee}, BlockTime: 1000 * s.BlockSeconds}
	if len(l.Items) > 0 {
		out.Utilisation = share(l.Items[0].Units, units)
	}
	return out, nil
}
