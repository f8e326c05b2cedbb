package compat

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/explorer"
)

// cosmosTxBody is a message in the form of a Cosmos transaction. It is made for
// people's eyes: there is no protobuf behind it, and its signature is not over it.
type cosmosTxBody struct {
	Type       string         `json:"@type"`
	Body       cosmosMessages `json:"body"`
	Auth       cosmosAuth     `json:"auth_info"`
	Signatures []string       `json:"signatures"`
}

type cosmosMessages struct {
	Messages []map[string]any `json:"messages"`
	Memo     string           `json:"memo"`
}

type cosmosAuth struct {
	Signers []string  `json:"signer_infos"`
	Fee     cosmosFee `json:"fee"`
}

type cosmosFee struct {
	Amount []cosmosCoin `json:"amount"` // at most, of the base fee; what was paid is in the events
	Gas    string       `json:"gas_limit"`
	Payer  string       `json:"payer"`
}

type cosmosEvent struct {
	Type       string            `json:"type"`
	Attributes []cosmosAttribute `json:"attributes"`
}

type cosmosAttribute struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Index bool   `json:"index"`
}

// cosmosResult is how a message ended.
type cosmosResult struct {
	Height    string        `json:"height"`
	Hash      string        `json:"txhash"` // hexadecimal capitals
	Codespace string        `json:"codespace"`
	Code      int           `json:"code"` // 0: ok
	RawLog    string        `json:"raw_log"`
	Gas       string        `json:"gas_wanted"`
	GasUsed   string        `json:"gas_used"`
	Tx        *cosmosTxBody `json:"tx"`
	Timestamp string        `json:"timestamp"`
	Events    []cosmosEvent `json:"events"`
}

// codes are the numbers of the rules' codes by name.
var codes = func() map[string]int {
	out := map[string]int{}
	for c := range consensus.Code(256) {
		if name := c.String(); out[name] == 0 {
			out[name] = int(c)
		}
	}
	return out
}()

func cosmosResultOf(m *explorer.MessageContent) *cosmosResult {
	out := &cosmosResult{Height: decimal(m.Height), Hash: strings.ToUpper(m.Hash), Code: codes[m.Code], RawLog: m.Error, Gas: decimal(m.Units),
		GasUsed: decimal(m.Units), Timestamp: m.Time, Events: []cosmosEvent{eventOf("message", "action", m.Kind, "sender", m.From),
			eventOf("tx", "fee", m.Fee.String()+denom, "fee_payer", m.From)}}
	if out.Code != 0 {
		out.Codespace = "perdure"
	}
	if t := transferOf(m.Body); out.Code == 0 && m.Kind == chain.KindTransfer.String() {
		out.Events = append(out.Events, eventOf("transfer", "recipient", t.to, "sender", m.From, "amount", t.value+denom))
	}
	if m.Body != nil {
		body := map[string]any{"@type": "/perdure.chain.v1." + m.Kind}
		for k, v := range m.Body {
			body[k] = v
		}
		out.Tx = &cosmosTxBody{Type: "/cosmos.tx.v1beta1.Tx", Body: cosmosMessages{Messages: []map[string]any{body}}, Signatures: []string{},
			Auth: cosmosAuth{Signers: []string{}, Fee: cosmosFee{[]cosmosCoin{coin(m.MaxFee.String())}, decimal(m.Units), m.From}}}
	}
	return out
}

// eventOf makes an event; fields are names and values, of which empty ones are left out.
func eventOf(kind string, fields ...string) cosmosEvent {
	out := cosmosEvent{kind, []cosmosAttribute{}}
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i+1] != "" {
			out.Attributes = append(out.Attributes, cosmosAttribute{fields[i], fields[i+1], true})
		}
	}
	return out
}

type cosmosOneTx struct {
	Tx     *cosmosTxBody `json:"tx"`
	Result *cosmosResult `json:"tx_response"`
}

func cosmosTx(v *visit) (any, error) {
	m, err := ask[explorer.MessageDetail](v, "/v1/messages/"+escape(strings.ToLower(v.part("hash"))))
	if err != nil {
		return nil, err
	}
	r := cosmosResultOf(m.MessageContent)
	return &cosmosOneTx{r.Tx, r}, nil
}

type cosmosTxList struct {
	Txs        []*cosmosTxBody `json:"txs"`
	Results    []*cosmosResult `json:"tx_responses"`
	Pagination *cosmosPage     `json:"pagination"` // null, as there
	Total      string          `json:"total"`
}

// condition is one of a search: tx.height=5, message.sender='t1...'.
var condition = regexp.MustCompile(`^\s*([a-z_.]+)\s*(=|>=|<=)\s*'?([^'\s]*)'?\s*$`)

// searched reads the conditions: "query" of newer clients, "events" of older ones.
func (v *visit) searched() (*search, error) {
	var all []string
	for _, part := range slices.Concat(v.query["query"], v.query["events"]) {
		all = append(all, strings.Split(part, " AND ")...)
	}
	return searchOf(all)
}

func searchOf(conditions []string) (*search, error) {
	s := &search{}
	for _, one := range conditions {
		if strings.TrimSpace(one) == "" {
			continue
		}
		if err := s.add(one); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *search) add(text string) error {
	m := condition.FindStringSubmatch(text)
	if m == nil {
		return refusal(http.StatusBadRequest, "condition %.80q: want KEY='VALUE'", text)
	}
	switch key, op, value := m[1], m[2], m[3]; {
	case key == "tx.height":
		h, err := parseHeight("tx.height", value)
		if err != nil {
			return err
		}
		if op != "<=" {
			s.first = max(s.first, h)
		}
		if op != ">=" {
			s.until(h)
		}
	case op != "=":
		return refusal(http.StatusBadRequest, "condition %.80q: only tx.height is compared", text)
	case key == "message.sender":
		s.sender, s.touched = value, value
	case key == "transfer.recipient" || key == "transfer.sender":
		s.touched = value
	default:
		return refusal(http.StatusBadRequest, "condition %.80q: want tx.height, message.sender, transfer.recipient or transfer.sender", text)
	}
	return nil
}

func parseHeight(name, s string) (chain.Height, error) {
	h, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, refusal(http.StatusBadRequest, "%s %.40q: want a whole number", name, s)
	}
	return chain.Height(h), nil
}

// cosmosTxs lists messages, newest first unless the other order is wanted.
func cosmosTxs(v *visit) (any, error) {
	s, err := v.searched()
	if err != nil {
		return nil, err
	}
	page, err := v.bounded("page", 1, mostSkip)
	if err != nil {
		return nil, err
	}
	limit, err := v.bounded("limit", mostItems, mostItems)
	if err != nil {
		return nil, err
	}
	s.oldestFirst = v.param("order_by") == "ORDER_BY_ASC" || v.param("order_by") == "1"
	all, err := v.find(s, (page-1)*limit, limit)
	if err != nil {
		return nil, err
	}
	total := (page-1)*limit + len(all)
	if len(all) == limit {
		total++ // at least, if there is a next page; who asks for it learns more
	}
	out := &cosmosTxList{Txs: []*cosmosTxBody{}, Results: []*cosmosResult{}, Total: decimal(total)}
	for _, m := range all {
		r := cosmosResultOf(m)
		out.Txs, out.Results = append(out.Txs, r.Tx), append(out.Results, r)
	}
	return out, nil
}
