package explorer

import (
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// TestEveryTable: each table's records can be read, but those of replay keys,
// which are empty.
func TestEveryTable(t *testing.T) {
	for table := range chain.TableEnd {
		_, empty := consensus.NewRecord(table, string(make([]byte, 16))).(*chain.Empty)
		if empty != (table == chain.TableReplay) {
			t.Errorf("table %s is read as an empty record: %v", table, empty)
		}
	}
}
