package explorer

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// TestEventFields writes an event of every kind: what the rules put into it is
// in the answer, under a name of its own where the kind gives it a meaning.
func TestEventFields(t *testing.T) {
	doc := document(t)
	schema := doc.Components.Schemas["Event"].Value
	index := map[consensus.EventKind]string{consensus.EventSectorPart: "part", consensus.EventSectorActive: "deadline", consensus.EventSectorProven: "period",
		consensus.EventSectorsFined: "sectors", consensus.EventSectorExtended: "expiration", consensus.EventDealMatched: "ask",
		consensus.EventVoucherRedeemed: "lane", consensus.EventVotesChanged: "votesFrom", consensus.EventEquivocation: "offence",
		consensus.EventRepairOrdered: "bid", consensus.EventRepairEnded: "newDeal", consensus.EventRenewalOrdered: "bid", consensus.EventRenewalEnded: "newDeal",
		consensus.EventRenewalSet: "terms", consensus.EventReceiptsPublished: "bytes", consensus.EventProposed: "proposal", consensus.EventApproved: "proposal",
		consensus.EventAdopted: "proposal", consensus.EventProposalEnded: "proposal", consensus.EventRulesChanged: "ruleVersion", consensus.EventPowerReward: "deadline"}
	n, who := names{chain.Testnet}, addressOf(t, "owner")
	kinds := 0
	for k := consensus.EventKind(1); k < 200; k++ {
		if k.String() == "" || strings.ContainsAny(k.String(), "0123456789()") {
			continue
		}
		kinds++
		e := &consensus.Event{Kind: k, Message: 3, Index: 77, From: who.Bytes(), To: who.Bytes(), Amount: chain.Atto(5), Reason: "<b>why</b>",
			Miner: testMiner, Order: 11, Deal: 12, Channel: 13}
		raw, err := json.Marshal(n.eventOf(e))
		must(t, err)
		var got map[string]any
		must(t, json.Unmarshal(raw, &got))
		if strings.Contains(string(raw), "<b>") {
			t.Errorf("%s: markup in %s", k, raw)
		}
		if name := index[k]; name != "" && got[name] != 77.0 {
			t.Errorf("%s: %s lacks %s", k, raw, name)
		}
		if k == consensus.EventEquivocation && got["validator"] == nil || got["kind"] != k.String() || got["amount"] != "5" || got["message"] != 2.0 {
			t.Errorf("%s: %s", k, raw)
		}
		for name := range got {
			if schema.Properties[name] == nil {
				t.Errorf("%s has %s, which the document does not know", k, name)
			}
		}
	}
	if kinds < len(index) {
		t.Fatalf("only %d kinds have names", kinds)
	}
}
