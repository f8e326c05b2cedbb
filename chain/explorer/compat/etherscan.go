package compat

import (
	"net/http"
	"strings"
	"time"

	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/explorer"
)

// etherscan is the one route in the form of Etherscan's API: module and action
// choose what is asked.
func etherscan() []route {
	return []route{{"/api", []string{"module", "action", "address", "startblock", "endblock", "page", "offset", "sort", "txhash"}, scan, scanProblem, costlier}}
}

// scanned is Etherscan's answer: "1" and OK, or "0" and why not.
type scanned struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Result  any    `json:"result"`
}

// scanProblem answers with 200, as Etherscan does, unless the request can be
// answered later.
func scanProblem(p *explorer.Problem) (int, any) {
	status := http.StatusOK
	if p.Status == http.StatusTooManyRequests || p.Status >= http.StatusInternalServerError {
		status = p.Status
	}
	return status, &scanned{"0", "NOTOK", p.Detail}
}

// scan does what module and action name.
func scan(v *visit) (any, error) {
	do := map[string]func(*visit) (any, error){
		"account/balance": scanBalance, "account/balancemulti": scanBalances, "account/txlist": scanList,
		"stats/ethsupply": scanSupply, "transaction/gettxreceiptstatus": scanReceipt,
	}[v.param("module")+"/"+v.param("action")]
	if do == nil {
		return nil, refusal(http.StatusNotFound, "module %.40q has no action %.40q here; see docs/compat.md", v.param("module"), v.param("action"))
	}
	result, err := do(v)
	if err != nil {
		return nil, err
	}
	if list, ok := result.([]*scannedMessage); ok && len(list) == 0 {
		return &scanned{"0", "No transactions found", list}, nil
	}
	return &scanned{"1", "OK", result}, nil
}

// needed is a parameter that must not be empty.
func (v *visit) needed(name string) (string, error) {
	value := v.param(name)
	if value == "" {
		return "", refusal(http.StatusBadRequest, "%s is missing", name)
	}
	return value, nil
}

func scanBalance(v *visit) (any, error) {
	address, err := v.needed("address")
	if err != nil {
		return nil, err
	}
	return v.coinsOf(address)
}

type scannedBalance struct {
	Account string `json:"account"`
	Balance string `json:"balance"`
}

// mostBalances is how many addresses balancemulti takes, as there.
const mostBalances = 20

func scanBalances(v *visit) (any, error) {
	all, err := v.needed("address")
	if err != nil {
		return nil, err
	}
	addresses := strings.Split(all, ",")
	if len(addresses) > mostBalances {
		return nil, refusal(http.StatusBadRequest, "%d addresses: want at most %d", len(addresses), mostBalances)
	}
	out := []scannedBalance{}
	for _, a := range addresses {
		balance, err := v.coinsOf(a)
		if err != nil {
			return nil, err
		}
		out = append(out, scannedBalance{a, balance})
	}
	return out, nil
}

func scanSupply(v *visit) (any, error) { return v.existing() }

type scannedReceipt struct {
	Status string `json:"status"` // 1: ok
}

func scanReceipt(v *visit) (any, error) {
	hash, err := v.needed("txhash")
	if err != nil {
		return nil, err
	}
	m, err := ask[explorer.MessageDetail](v, "/v1/messages/"+escape(trimHex(hash)))
	if err != nil {
		return nil, err
	}
	return &scannedReceipt{whether(m.Code == consensus.CodeOK.String())}, nil
}

func whether(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// scannedMessage is a message as a transaction. Readers take gasUsed times
// gasPrice for the fee; ours counts bytes as well as units, so the fee in attoPDR
// stands as gas at a price of 1, and is exact.
type scannedMessage struct {
	Block         string `json:"blockNumber"`
	Time          string `json:"timeStamp"` // Unix seconds
	Hash          string `json:"hash"`
	Nonce         string `json:"nonce"`
	Index         string `json:"transactionIndex"`
	From          string `json:"from"`
	To            string `json:"to"`
	Value         string `json:"value"`
	Gas           string `json:"gas"`
	GasPrice      string `json:"gasPrice"`
	GasUsed       string `json:"gasUsed"`
	IsError       string `json:"isError"`
	Status        string `json:"txreceipt_status"`
	Contract      string `json:"contractAddress"`
	Input         string `json:"input"`
	Function      string `json:"functionName"` // the message's kind
	Confirmations string `json:"confirmations"`
}

// scanList lists the messages that an address sent or that touched it.
func scanList(v *visit) (any, error) {
	page, err := v.bounded("page", 1, mostSkip)
	if err != nil {
		return nil, err
	}
	size, err := v.bounded("offset", mostItems, mostItems)
	if err != nil {
		return nil, err
	}
	address, err := v.needed("address")
	if err != nil {
		return nil, err
	}
	s := &search{touched: address, oldestFirst: v.param("sort") != "desc"}
	if err := v.scanRange(s); err != nil {
		return nil, err
	}
	list, err := v.find(s, (page-1)*size, size)
	if err != nil {
		return nil, err
	}
	return v.scannedAll(list)
}

func (v *visit) scannedAll(all []*explorer.MessageContent) ([]*scannedMessage, error) {
	tip, err := v.tip()
	if err != nil {
		return nil, err
	}
	out := []*scannedMessage{}
	for _, m := range all {
		at, err := time.Parse(time.RFC3339, m.Time)
		if err != nil {
			return nil, err
		}
		t, ok := transferOf(m.Body), m.Code == consensus.CodeOK.String()
		out = append(out, &scannedMessage{Block: decimal(m.Height), Time: decimal(at.Unix()), Hash: m.Hash, Nonce: decimal(m.Nonce), Index: decimal(m.Index),
			From: m.From, To: t.to, Value: t.value, Gas: m.Fee.String(), GasPrice: "1", GasUsed: m.Fee.String(), IsError: whether(!ok), Status: whether(ok),
			Input: "0x", Function: m.Kind, Confirmations: decimal(uint64(tip) + 1 - min(uint64(m.Height), uint64(tip)))})
	}
	return out, nil
}

// scanRange reads startblock and endblock.
func (v *visit) scanRange(s *search) error {
	if text := v.param("startblock"); text != "" {
		h, err := parseHeight("startblock", text)
		if err != nil {
			return err
		}
		s.first = h
	}
	if text := v.param("endblock"); text != "" && text != "latest" {
		h, err := parseHeight("endblock", text)
		if err != nil {
			return err
		}
		s.until(h)
	}
	return nil
}
