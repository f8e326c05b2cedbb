package explorer

import (
	"encoding/hex"
	"fmt"
	"net/http"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state"
)

// Record is a record of the state tree, or the absence of one.
type Record struct {
	Table   string         `json:"table"`
	Key     string         `json:"key"` // hexadecimal
	Exists  bool           `json:"exists"`
	CBOR    []byte         `json:"cbor,omitempty"`  // canonical encoding, base64
	Value   map[string]any `json:"value,omitempty"` // the same, readable
	AppHash string         `json:"appHash"`         // of Height: CID bytes, hexadecimal; in the header of Height + 1
	Proof   []byte         `json:"proof,omitempty"` // proof bundle as perdure state verify reads it, base64
	AsOf
}

// keySizes are the lengths that a table's keys may have.
func keySizes(t chain.Table) (least, most int) {
	switch t.Shape() {
	case chain.ShapeSingle:
		return 0, 0
	case chain.ShapeDense:
		return 8, 8
	case chain.ShapeOwned:
		return 16, 16
	}
	return 1, 64
}

// recordKey reads table and key from the path.
func (q *query) recordKey() (chain.Key, error) {
	table, ok := chain.ParseTable(q.r.PathValue("table"))
	if !ok {
		return chain.Key{}, badRequest("unknown table %q", clip(q.r.PathValue("table")))
	}
	id, err := hex.DecodeString(q.r.PathValue("key"))
	least, most := keySizes(table)
	if err != nil || len(id) < least || len(id) > most {
		return chain.Key{}, badRequest("key of table %s: want %d to %d bytes in hexadecimal", table, least, most)
	}
	return chain.Key{Table: table, ID: string(id)}, nil
}

func (a *API) recordRoutes() []route {
	return []route{
		{path: "/v1/state/{table}", query: proofQuery(), handle: a.record, cost: 5},
		{path: "/v1/state/{table}/{$}", query: proofQuery(), handle: a.record, cost: 5},
		{path: "/v1/state/{table}/{key}", query: proofQuery(), handle: a.record, cost: 5},
	}
}

func (a *API) record(q *query) (any, error) {
	if err := q.ready(); err != nil {
		return nil, err
	}
	k, err := q.recordKey()
	if err != nil {
		return nil, err
	}
	proven, err := q.choice("proof", "false", "true")
	if err != nil {
		return nil, err
	}
	tree, global, err := a.treeOf(q, proven == 1)
	if err != nil {
		return nil, err
	}
	out := &Record{Table: k.Table.String(), Key: hexText([]byte(k.ID)), AppHash: hexText(tree.AppHash()),
		AsOf: q.at(tree.Height(), global.Time)}
	if out.CBOR, err = tree.Record(k); err != nil {
		return nil, err
	}
	if out.Exists = out.CBOR != nil; out.Exists {
		if out.Value, err = Readable(a.params.Network, k, out.CBOR); err != nil {
			return nil, err
		}
	}
	if proven != 1 {
		return out, nil
	}
	out.Proof, err = q.bundle(k, tree.Height())
	return out, err
}

// treeOf is the state that a record is asked of: that of the height that is
// given, otherwise the newest, or the newest whose app hash is in a header.
func (a *API) treeOf(q *query, proven bool) (*state.Tree, *chain.Global, error) {
	h := q.view.Height()
	switch {
	case q.given("height"):
		if err := optional(q, "height", &h, parseHeight); err != nil {
			return nil, nil, err
		}
	case !proven:
		return &q.view.Tree, q.global, nil
	case h == 0:
		return nil, nil, problem(http.StatusServiceUnavailable, "there is no header yet that a proof could stand under")
	default:
		h--
	}
	tree, err := a.node.Store().At(h)
	if err != nil {
		return nil, nil, err
	}
	global, err := tree.Global()
	return tree, global, err
}

// Readable decodes a record as the API shows it.
func Readable(n chain.Network, k chain.Key, record []byte) (map[string]any, error) {
	v := consensus.NewRecord(k.Table, k.ID)
	if err := chain.Decode(record, v); err != nil {
		return nil, fmt.Errorf("decode %s: %w", chain.FormatPath(k, n), err)
	}
	return names{n}.noun(v), nil
}
