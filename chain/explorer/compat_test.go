package explorer_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/explorer/compat"
)

// engine makes headers of the heights from 2 to tip: their hash is that of the
// height's text.
type engine struct{ tip chain.Height }

func hashOf(h chain.Height) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "block %d", h))
	return sum[:]
}

// Header implements compat.Engine.
func (e engine) Header(h chain.Height) *compat.Header {
	if h < 2 || h > e.tip {
		return nil
	}
	id := compat.BlockID{Hash: hashOf(h), PartsHash: hashOf(1000 + h), Parts: 1}
	return &compat.Header{ID: id, Block: 11, App: 1, ChainID: "explorer-test", Height: h, Time: time.Unix(1_700_000_000+int64(h), 5),
		Last: compat.BlockID{Hash: hashOf(h - 1), PartsHash: hashOf(999 + h), Parts: 1}, Proposer: []byte("proposer of twenty b"), Size: 777,
		LastCommit: hashOf(1), Data: hashOf(1), Validators: hashOf(1), NextValidators: hashOf(1), Consensus: hashOf(1), AppHash: hashOf(1), LastResults: hashOf(1), Evidence: hashOf(1)}
}

// Block implements compat.Engine.
func (e engine) Block(h chain.Height) *compat.Block {
	header := e.Header(h)
	if header == nil {
		return nil
	}
	return &compat.Block{Header: *header, Txs: [][]byte{[]byte("beacon"), []byte("message")}, Commit: compat.Commit{Height: h - 1, Round: 2, ID: header.Last,
		Votes: []compat.Vote{{Flag: compat.VoteCommit, Validator: header.Proposer, Time: header.Time, Signature: []byte("sixty-four bytes")}, {Flag: compat.VoteAbsent}}}}
}

// Find implements compat.Engine.
func (e engine) Find(hash []byte) (chain.Height, bool) {
	for h := chain.Height(2); h <= e.tip; h++ {
		if slices.Equal(hashOf(h), hash) {
			return h, true
		}
	}
	return 0, false
}

// Node implements compat.Engine.
func (engine) Node() compat.NodeInfo {
	return compat.NodeInfo{P2P: 9, Block: 11, App: 1, ID: "0badc0de", Listen: "127.0.0.1:26656", Network: "explorer-test", Version: "0.39", Channels: "4020", Moniker: "test"}
}

// translated serves a chain with one of everything in the other explorers' forms.
func translated(t *testing.T) (*explorer.API, http.Handler) {
	t.Helper()
	api := explorer.Populated(t)
	return api, compat.New(api, engine{call[explorer.Identity](t, api, "/v1/node/id").Height})
}

// call asks the API.
func call[T any](t *testing.T, api *explorer.API, path string) *T {
	t.Helper()
	v, err := api.Call(t.Context(), path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v.(*T)
}

// object is a JSON answer; at follows keys and indices into it.
type object struct{ v any }

func (o object) at(keys ...any) object {
	for _, k := range keys {
		switch k := k.(type) {
		case string:
			m, _ := o.v.(map[string]any)
			o.v = m[k]
		case int:
			l, _ := o.v.([]any)
			if k >= len(l) {
				return object{}
			}
			o.v = l[k]
		}
	}
	return o
}

func (o object) len() int { l, _ := o.v.([]any); return len(l) }

// read asks for a path and expects a status.
func read(t *testing.T, h http.Handler, path string, status int) object {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	var out object
	if err := json.Unmarshal(w.Body.Bytes(), &out.v); err != nil || w.Code != status || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Fatalf("%s: %d %v (%v), want %d\n%s", path, w.Code, w.Header(), err, status, w.Body)
	}
	return out
}

// same expects a value, as JSON has it.
func same(t *testing.T, what string, got object, want any) {
	t.Helper()
	a, err := json.Marshal(got.v)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("%s: %s, want %s", what, a, b)
	}
}

// sent finds the message of the populated chain that did something.
func sent(t *testing.T, api *explorer.API, kind, code string) *explorer.MessageDetail {
	t.Helper()
	for _, m := range call[explorer.List[*explorer.Message]](t, api, "/v1/messages?limit=500").Items {
		if m.Kind == kind && m.Code == code {
			return call[explorer.MessageDetail](t, api, "/v1/messages/"+m.Hash)
		}
	}
	t.Fatalf("no message of kind %s ended as %s", kind, code)
	return nil
}

// TestCompatAnswers asks each path, with what it finds and what it refuses, and
// holds the answers against the document.
func TestCompatAnswers(t *testing.T) {
	api, h := translated(t)
	m := sent(t, api, "OpenChannel", "ok")
	client := m.From
	nobody, err := chain.AddressOfKey(hashOf(1))
	if err != nil {
		t.Fatal(err)
	}
	unused := chain.FormatAddress(nobody, call[explorer.Parameters](t, api, "/v1/params").Network)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/openapi-compat.yaml", nil))
	doc, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	const scout, tm, bank = "/api/v2", "/cosmos/base/tendermint/v1beta1", "/cosmos/bank/v1beta1"
	asked := map[string]bool{}
	for path, status := range map[string]int{
		scout + "/blocks": 200, scout + "/blocks?cursor=zzz": 400, scout + "/blocks/latest": 200, scout + "/blocks/9": 200, scout + "/blocks/1": 200,
		scout + "/blocks/0x" + hex.EncodeToString(hashOf(9)): 200, scout + "/blocks/" + hex.EncodeToString(hashOf(9999)): 404, scout + "/blocks/nothing": 400,
		scout + "/blocks/99999": 404, scout + "/blocks/2/transactions": 200, scout + "/main-page/blocks": 200,
		scout + "/transactions": 200, scout + "/transactions?type=validated&filter=x": 200, scout + "/transactions/0x" + m.Hash: 200, scout + "/transactions/" + strings.Repeat("0", 64): 404,
		scout + "/transactions/nothing": 400, scout + "/main-page/transactions": 200, scout + "/addresses/" + client: 200, scout + "/addresses/t01000": 200,
		scout + "/addresses/t01007": 404, scout + "/addresses/" + unused: 404, scout + "/addresses/nobody": 400,
		scout + "/addresses/" + client + "/transactions": 200, scout + "/addresses/nobody/transactions": 400, scout + "/search?q=9": 200, scout + "/search": 200,
		scout + "/search?q=" + m.Hash: 200, scout + "/search?q=" + client: 200, scout + "/search?q=t01000": 200, scout + "/search/check-redirect?q=9": 200,
		scout + "/search/check-redirect?q=nothing": 200, scout + "/stats": 200,
		tm + "/node_info": 200, tm + "/syncing": 200, tm + "/blocks/latest": 200, tm + "/blocks/9": 200, tm + "/blocks/1": 404, tm + "/blocks/x": 400, tm + "/validatorsets/latest": 200,
		"/cosmos/staking/v1beta1/validators": 200, "/cosmos/staking/v1beta1/validators?status=BOND_STATUS_UNBONDED": 200, "/cosmos/staking/v1beta1/validators/t01000": 404,
		"/cosmos/staking/v1beta1/pool": 200, "/cosmos/tx/v1beta1/txs": 200, "/cosmos/tx/v1beta1/txs?events=tx.height%3D2&limit=1": 200,
		"/cosmos/tx/v1beta1/txs?query=message.sender%3D'" + client + "'&page=2&limit=2": 200, "/cosmos/tx/v1beta1/txs?query=message.action%3D'x'": 400,
		"/cosmos/tx/v1beta1/txs?order_by=ORDER_BY_ASC": 200, "/cosmos/tx/v1beta1/txs?events=tx.height%3E%3D9&events=tx.height%3C%3D3": 200, "/cosmos/tx/v1beta1/txs?page=0": 400, "/cosmos/tx/v1beta1/txs?page=9999&limit=100": 400,
		"/cosmos/tx/v1beta1/txs/" + strings.ToUpper(m.Hash): 200, "/cosmos/tx/v1beta1/txs/" + strings.Repeat("A", 64): 404,
		bank + "/balances/" + client: 200, bank + "/balances/t01000": 200, bank + "/balances/nobody": 400, bank + "/balances/" + client + "/by_denom?denom=uatom": 200,
		bank + "/supply": 200, bank + "/supply/by_denom?denom=attopdr": 200, bank + "/denoms_metadata": 200,
		"/cosmos/auth/v1beta1/accounts/" + client: 200, "/cosmos/auth/v1beta1/accounts/t01000": 400,
		"/api?module=account&action=balance&address=" + client: 200, "/api?module=account&action=balance&address=nobody": 200, "/api": 200,
		"/api?module=account&action=balancemulti&address=" + client + ",t01000": 200, "/api?module=account&action=txlist&address=" + client: 200,
		"/api?module=account&action=txlist&address=" + client + "&startblock=x": 200, "/api?module=account&action=txlist": 200,
		"/api?module=account&action=txlist&address=" + client + "&startblock=5000": 200, "/api?module=stats&action=ethsupply": 200,
		"/api?module=transaction&action=gettxreceiptstatus&txhash=0x" + m.Hash: 200,
	} {
		answer := read(t, h, path, status)
		op := compatOperation(t, doc, path)
		asked[op.OperationID] = true
		r := op.Responses.Value("200")
		if status != http.StatusOK {
			r = op.Responses.Default()
		}
		if err := doc.ValidateSchemaJSON(r.Value.Content.Get("application/json").Schema.Value, answer.v, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for path, item := range doc.Paths.Map() {
		if !asked[item.Get.OperationID] {
			t.Errorf("no answer of %s was checked", path)
		}
	}
	same(t, "a path that there is not", read(t, h, "/api/v2/tokens", 404).at("message"), "no such path; see /v1/openapi-compat.yaml")
}

// counting counts the calls of an API.
type counting struct {
	*explorer.API
	calls []string
}

func (c *counting) Call(ctx context.Context, path string) (any, error) {
	c.calls = append(c.calls, path)
	return c.API.Call(ctx, path)
}

// TestCompatCalls: however long a list of messages is, a page of it takes a call
// for them, and one or two for what stands around them.
func TestCompatCalls(t *testing.T) {
	api := explorer.Populated(t)
	c := &counting{API: api}
	h := compat.New(c, engine{call[explorer.Identity](t, api, "/v1/node/id").Height})
	client := sent(t, api, "OpenChannel", "ok").From
	for path, items := range map[string][]any{
		"/api/v2/transactions": {"items"}, "/api/v2/addresses/" + client + "/transactions": {"items"}, "/api/v2/blocks/2/transactions": {"items"},
		"/cosmos/tx/v1beta1/txs?query=message.sender%3D'" + client + "'": {"tx_responses"}, "/api?module=account&action=txlist&address=" + client: {"result"},
	} {
		c.calls = nil
		if n := read(t, h, path, 200).at(items...).len(); n < 3 || len(c.calls) > 3 {
			t.Errorf("%s: %d messages by %d calls: %q", path, n, len(c.calls), c.calls)
		}
	}
}

// compatOperation finds the operation of a request in the document.
func compatOperation(t *testing.T, doc *openapi3.T, path string) *openapi3.Operation {
	t.Helper()
	path, _, _ = strings.Cut(path, "?")
	mux := http.NewServeMux()
	var found *openapi3.Operation
	for pattern, item := range doc.Paths.Map() {
		mux.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) { found = item.Get })
	}
	mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
	if found == nil {
		t.Fatalf("%s: no operation in the document", path)
	}
	return found
}

// TestBlockscout compares its answers with the API's.
func TestBlockscout(t *testing.T) {
	api, h := translated(t)
	m := sent(t, api, "OpenChannel", "ok")
	blocks := call[explorer.List[*explorer.Block]](t, api, "/v1/blocks?limit=100")
	first := read(t, h, "/api/v2/blocks", 200)
	var heights []chain.Height
	for page := first; ; {
		for i := range page.at("items").len() {
			heights = append(heights, chain.Height(page.at("items", i, "height").v.(float64)))
		}
		cursor, ok := page.at("next_page_params", "cursor").v.(string)
		if !ok {
			break
		}
		page = read(t, h, "/api/v2/blocks?cursor="+url.QueryEscape(cursor), 200)
	}
	if len(heights) != int(blocks.Height) || !slices.IsSortedFunc(heights, func(a, b chain.Height) int { return int(b) - int(a) }) || heights[0] != blocks.Height {
		t.Errorf("heights %v, want all down from %d", heights, blocks.Height)
	}
	b := first.at("items", 0)
	same(t, "hash", b.at("hash"), hex.EncodeToString(hashOf(blocks.Height)))
	same(t, "parent", b.at("parent_hash"), hex.EncodeToString(hashOf(blocks.Height-1)))
	same(t, "size", b.at("size"), 777)
	same(t, "by hash", read(t, h, "/api/v2/blocks/"+hex.EncodeToString(hashOf(blocks.Height)), 200), b.v)
	same(t, "block without a header", read(t, h, "/api/v2/blocks/1", 200).at("hash"), nil)

	tx := read(t, h, "/api/v2/transactions/"+m.Hash, 200)
	for key, want := range map[string]any{"hash": m.Hash, "block_number": m.Height, "status": "ok", "result": "success", "method": "OpenChannel", "value": m.Body["amount"],
		"nonce": m.Nonce, "position": m.Index, "gas_used": fmt.Sprint(m.Units), "confirmations": blocks.Height + 1 - m.Height} {
		same(t, key, tx.at(key), want)
	}
	same(t, "fee", tx.at("fee", "value"), m.Fee)
	same(t, "from", tx.at("from", "hash"), m.From)
	same(t, "to", tx.at("to", "hash"), m.Body["payee"])
	failed := sent(t, api, "Transfer", "failed")
	tx = read(t, h, "/api/v2/transactions/"+failed.Hash, 200)
	same(t, "status of a failed message", tx.at("status"), "error")
	same(t, "its reason", tx.at("result"), failed.Error)
	same(t, "messages of an address", object{read(t, h, "/api/v2/addresses/"+m.From+"/transactions", 200).at("items").len()},
		len(call[explorer.List[*explorer.Message]](t, api, "/v1/messages?address="+m.From).Items))

	same(t, "balance", read(t, h, "/api/v2/addresses/"+m.From, 200).at("coin_balance"), call[explorer.Account](t, api, "/v1/accounts/"+m.From).Balance)
	same(t, "balance of a miner", read(t, h, "/api/v2/addresses/t01000", 200).at("coin_balance"), call[explorer.MinerDetail](t, api, "/v1/miners/t01000").Balance)
	for q, want := range map[string]string{"9": "block", "block 9": "", hex.EncodeToString(hashOf(9)): "block", m.Hash: "transaction", "0x" + m.Hash: "transaction", m.From: "address", "t01000": "address"} {
		found := read(t, h, "/api/v2/search?q="+url.QueryEscape(q), 200).at("items")
		way := read(t, h, "/api/v2/search/check-redirect?q="+url.QueryEscape(q), 200)
		if want == "" {
			same(t, q, found, []any{})
			same(t, q, way.at("redirect"), false)
			continue
		}
		same(t, "what "+q+" is", found.at(0, "type"), want)
		same(t, "where "+q+" leads", way.at("type"), want)
	}
	stats := read(t, h, "/api/v2/stats", 200)
	same(t, "blocks", stats.at("total_blocks"), fmt.Sprint(blocks.Height))
	figures := call[explorer.Stats](t, api, "/v1/stats")
	same(t, "block time", stats.at("average_block_time"), 1000*figures.BlockSeconds)
	same(t, "accounts", stats.at("total_addresses"), fmt.Sprint(figures.Counts.Accounts))
	same(t, "messages of a day", stats.at("transactions_today"), fmt.Sprint(figures.Day.Messages))
}

// TestCosmos compares its answers with the API's and the engine's.
func TestCosmos(t *testing.T) {
	api, h := translated(t)
	tip := call[explorer.Identity](t, api, "/v1/node/id").Height
	block := read(t, h, "/cosmos/base/tendermint/v1beta1/blocks/latest", 200)
	same(t, "height", block.at("block", "header", "height"), fmt.Sprint(tip))
	same(t, "hash", block.at("block_id", "hash"), base64.StdEncoding.EncodeToString(hashOf(tip)))
	same(t, "time", block.at("block", "header", "time"), time.Unix(1_700_000_000+int64(tip), 5).UTC().Format(time.RFC3339Nano))
	same(t, "messages", block.at("block", "data", "txs"), []string{base64.StdEncoding.EncodeToString([]byte("beacon")), base64.StdEncoding.EncodeToString([]byte("message"))})
	same(t, "votes", block.at("block", "last_commit", "signatures", 1, "block_id_flag"), "BLOCK_ID_FLAG_ABSENT")
	same(t, "syncing", read(t, h, "/cosmos/base/tendermint/v1beta1/syncing", 200).at("syncing"), false)

	set := call[explorer.Validators](t, api, "/v1/validators")
	voters := read(t, h, "/cosmos/base/tendermint/v1beta1/validatorsets/latest", 200)
	same(t, "votes", voters.at("validators", 0, "voting_power"), fmt.Sprint(set.Items[0].Votes))
	key, err := hex.DecodeString(set.Items[0].ConsensusKey)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "key", voters.at("validators", 0, "pub_key", "key"), key)
	operator := read(t, h, "/cosmos/staking/v1beta1/validators", 200).at("validators", 0, "operator_address").v.(string)
	same(t, "one validator", read(t, h, "/cosmos/staking/v1beta1/validators/"+operator, 200).at("validator", "tokens"), fmt.Sprint(set.Items[0].Votes))
	same(t, "pool", read(t, h, "/cosmos/staking/v1beta1/pool", 200).at("pool", "bonded_tokens"), fmt.Sprint(set.Votes))

	m := sent(t, api, "OpenChannel", "ok")
	one := read(t, h, "/cosmos/tx/v1beta1/txs/"+m.Hash, 200)
	same(t, "hash", one.at("tx_response", "txhash"), strings.ToUpper(m.Hash))
	same(t, "code", one.at("tx_response", "code"), 0)
	same(t, "kind", one.at("tx", "body", "messages", 0, "@type"), "/perdure.chain.v1.OpenChannel")
	same(t, "amount", one.at("tx", "body", "messages", 0, "amount"), m.Body["amount"])
	failed := sent(t, api, "Transfer", "failed")
	one = read(t, h, "/cosmos/tx/v1beta1/txs/"+failed.Hash, 200)
	same(t, "code of a failed message", one.at("tx_response", "codespace"), "perdure")
	same(t, "its reason", one.at("tx_response", "raw_log"), failed.Error)

	var mine []string
	for _, one := range call[explorer.List[*explorer.Message]](t, api, "/v1/messages?limit=500").Items {
		if one.From == m.From && (one.Code == "ok" || one.Code == "failed") { // of others, nobody knows who sent them
			mine = append(mine, strings.ToUpper(one.Hash))
		}
	}
	var got []string
	for page := 1; len(got) < len(mine)+1; page++ {
		list := read(t, h, fmt.Sprintf("/cosmos/tx/v1beta1/txs?query=%s&limit=3&page=%d", url.QueryEscape("message.sender='"+m.From+"'"), page), 200).at("tx_responses")
		for i := range list.len() {
			got = append(got, list.at(i, "txhash").v.(string))
		}
		if list.len() < 3 {
			break
		}
	}
	same(t, "messages of a sender", object{got}, mine)
	oldest := read(t, h, "/cosmos/tx/v1beta1/txs?order_by=ORDER_BY_ASC&limit=1&query="+url.QueryEscape("message.sender='"+m.From+"'"), 200)
	same(t, "the oldest message of a sender", oldest.at("tx_responses", 0, "txhash"), mine[len(mine)-1])
	of := read(t, h, fmt.Sprintf("/cosmos/tx/v1beta1/txs?events=%s", url.QueryEscape(fmt.Sprintf("tx.height=%d", m.Height))), 200)
	same(t, "messages of a height", of.at("total"), fmt.Sprint(call[explorer.BlockDetail](t, api, fmt.Sprintf("/v1/blocks/%d", m.Height)).Messages))

	account := call[explorer.Account](t, api, "/v1/accounts/"+m.From)
	same(t, "coins", read(t, h, "/cosmos/bank/v1beta1/balances/"+m.From, 200).at("balances", 0), map[string]string{"amount": account.Balance.String(), "denom": "attopdr"})
	same(t, "of another coin", read(t, h, "/cosmos/bank/v1beta1/balances/"+m.From+"/by_denom?denom=uatom", 200).at("balance", "amount"), "0")
	same(t, "sequence", read(t, h, "/cosmos/auth/v1beta1/accounts/"+m.From, 200).at("account", "sequence"), fmt.Sprint(account.Nonce))
	supply := call[explorer.SupplyDetail](t, api, "/v1/supply")
	left, err := supply.Minted.Sub(supply.Burned)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "supply", read(t, h, "/cosmos/bank/v1beta1/supply", 200).at("supply", 0, "amount"), left)
}

// TestEtherscan compares its answers with the API's.
func TestEtherscan(t *testing.T) {
	api, h := translated(t)
	m := sent(t, api, "OpenChannel", "ok")
	account := call[explorer.Account](t, api, "/v1/accounts/"+m.From)
	same(t, "balance", read(t, h, "/api?module=account&action=balance&tag=latest&address="+m.From, 200), map[string]any{"status": "1", "message": "OK", "result": account.Balance})
	all := call[explorer.List[*explorer.Message]](t, api, "/v1/messages?limit=500&address="+m.From).Items
	list := func(query string) (hashes []string) {
		answer := read(t, h, "/api?module=account&action=txlist&address="+m.From+query, 200).at("result")
		for i := range answer.len() {
			hashes = append(hashes, answer.at(i, "hash").v.(string))
		}
		return hashes
	}
	var want []string
	for _, one := range all {
		want = append(want, one.Hash)
	}
	same(t, "newest first", object{list("&sort=desc")}, want)
	slices.Reverse(want)
	same(t, "oldest first", object{list("")}, want)
	same(t, "the second page of two", object{list("&page=2&offset=2")}, want[2:4])
	same(t, "a page of two, newest first", object{list("&page=1&offset=2&sort=desc")}, []string{all[0].Hash, all[1].Hash})
	var within []string
	for _, one := range slices.Backward(all) {
		if one.Height >= 2 && one.Height <= m.Height {
			within = append(within, one.Hash)
		}
	}
	same(t, "heights", object{list(fmt.Sprintf("&startblock=2&endblock=%d", m.Height))}, within)
	none := read(t, h, "/api?module=account&action=txlist&startblock=999999&address="+m.From, 200)
	same(t, "none", none.at("message"), "No transactions found")
	bad := read(t, h, "/api?module=account&action=tokentx&address="+m.From, 200)
	same(t, "what we have not", bad.at("status"), "0")
	for _, action := range []string{"account&action=balance", "account&action=balancemulti", "account&action=txlist", "transaction&action=gettxreceiptstatus"} {
		name := map[bool]string{true: "address", false: "txhash"}[strings.HasPrefix(action, "account")]
		same(t, action, read(t, h, "/api?module="+action, 200).at("result"), name+" is missing")
	}
	failed := sent(t, api, "Transfer", "failed")
	for hash, want := range map[string]string{m.Hash: "1", failed.Hash: "0"} {
		same(t, "receipt", read(t, h, "/api?module=transaction&action=gettxreceiptstatus&txhash="+hash, 200).at("result", "status"), want)
	}
}
