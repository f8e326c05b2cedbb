package explorer

import (
	"encoding/hex"

	"github.com/perdure/perdure/chain"
)

// Record is a record of the state tree, or the absence of one.
type Record struct {
	Table   string         `json:"table"`
	Key     string         `json:"key"` // hexadecimal
	Exists  bool           `json:"exists"`
	CBOR    []byte         `json:"cbor,omitempty"`  // canonical encoding, base64
	Value   map[string]any `json:"value,omitempty"` // the same, readable
	AppHash string         `json:"appHash"`         // of Height: CID bytes, hexadecimal; in the header of Height + 1
	Proof   []byte         `json:"proof,omitempty"` // CAR of the path from the app hash, base64
	AsOf
}

// newNoun returns an empty record of a table.
func newNoun(t chain.Table, key string) chain.CBOR {
	switch t {
	case chain.TableGlobal:
		return new(chain.Global)
	case chain.TableAccount:
		return new(chain.Account)
	case chain.TableMiner:
		return new(chain.Miner)
	case chain.TableSector:
		return new(chain.Sector)
	case chain.TablePartition:
		return new(chain.Partition)
	case chain.TableOrder:
		return new(chain.Order)
	case chain.TableDeal:
		return new(chain.Deal)
	case chain.TableChannel:
		return new(chain.Channel)
	case chain.TableBeacon:
		return new(chain.Beacon)
	case chain.TableQueue:
		if len(key) >= 8 && key[len(key)-8:] == string(make([]byte, 8)) {
			return new(chain.QueueHead)
		}
		return new(chain.QueueItem)
	}
	return new(chain.Empty)
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

func (a *API) record(q *query) (any, error) {
	tree, global, err := q.treeAt()
	if err != nil {
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
	out := &Record{Table: k.Table.String(), Key: hexText([]byte(k.ID)), AppHash: hexText(tree.AppHash()),
		AsOf: AsOf{tree.Height(), clock(global.Time)}}
	if out.CBOR, err = tree.Record(k); err != nil {
		return nil, err
	}
	if out.Exists = out.CBOR != nil; out.Exists {
		v := newNoun(k.Table, k.ID)
		if err := chain.Decode(out.CBOR, v); err != nil {
			return nil, err
		}
		out.Value = q.noun(v)
	}
	if proven == 1 {
		out.Proof, err = tree.Proof(k)
	}
	return out, err
}
