package explorer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
)

// kindsOf are the kinds of a list of events.
func kindsOf(t *testing.T, api *API, path string) string {
	t.Helper()
	var out []string
	for _, e := range decode[List[*Happening]](t, api.Handler(), path+"?sortDesc=false&limit=500").Items {
		if len(out) == 0 || out[len(out)-1] != e.Kind {
			out = append(out, e.Kind)
		}
	}
	return strings.Join(out, " ")
}

// TestLife tells the lives of what the populated chain has, from their events.
func TestLife(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	for path, want := range map[string]string{
		"/v1/deals/1/events":          "dealMatched dealAccepted dealDepositReturned dealActive minerDepositReturned",
		"/v1/sectors/t01000/7/events": "sectorCommitted depositLocked sectorPart sectorActive dealActive pledgeLocked",
		"/v1/orders/1/events":         "orderPlaced dealMatched",
		"/v1/orders/3/events":         "orderPlaced orderCancelled",
		"/v1/channels/1/events":       "channelOpened voucherRedeemed",
		"/v1/channels/2/events":       "channelOpened channelSettling channelCollected",
		"/v1/accounts/" + chain.FormatAddress(addressOf(t, "client"), n.params.Network) + "/events": "orderPlaced dealMatched orderFilled dealAccepted orderCancelled dealDepositReturned dealActive " +
			"minerDepositReturned channelOpened voucherRedeemed channelSettling orderCancelled channelCollected",
		"/v1/deals/1/payments": "dealMatched dealDepositReturned minerDepositReturned",
	} {
		if got := kindsOf(t, api, path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
	all := decode[List[*Happening]](t, api.Handler(), "/v1/events?limit=500&sortDesc=false").Items
	if !slices.IsSortedFunc(all, func(a, b *Happening) int {
		if a.Height != b.Height {
			return int(a.Height) - int(b.Height)
		}
		return int(a.Index) - int(b.Index)
	}) {
		t.Error("events are not in their order")
	}
	caused := 0
	for _, e := range all {
		want := ""
		if e.Message != nil {
			want = decode[List[*Message]](t, api.Handler(), fmt.Sprintf("/v1/blocks/%d/messages", e.Height)).Items[*e.Message].Hash
			caused++
		}
		if e.MessageHash != want {
			t.Errorf("event %s of block %d is by message %q, want %q", e.Kind, e.Height, e.MessageHash, want)
		}
	}
	if caused == 0 || caused == len(all) {
		t.Errorf("%d of %d events are a message's", caused, len(all))
	}
}

// TestOutlook checks what a miner offers and has to do next.
func TestOutlook(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	m := decode[MinerDetail](t, api.Handler(), "/v1/miners/t01000")
	next := n.store.View().Height() + 1
	if len(m.Asks) != 1 || m.Asks[0].ID != 1 || m.Asks[0].Ask.Miner != "t01000" || m.NextDeadline == nil || m.NextDeadline.Sectors != 1 ||
		m.NextDeadline.Closes < next || m.NextDeadline.Opens > next+chain.Height(n.params.Period()) || m.VoteAddress != "" {
		t.Errorf("outlook %+v, next deadline %+v", m.Outlook, m.NextDeadline)
	}
}

// TestAccrued settles a deal and compares what it pays with what was said.
func TestAccrued(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	payments := func() *Payments { return decode[Payments](t, api.Handler(), "/v1/deals/1/payments") }
	before := payments()
	if before.Accrued.IsZero() || before.Unspent != before.Total {
		t.Fatalf("before: %+v", before)
	}
	n.all(n.message("owner", 0, &chain.SettleDeals{Deals: []uint64{1}}))
	after := payments()
	left, err := before.Unspent.Sub(before.Accrued)
	must(t, err)
	if paid := after.Items[0]; paid.Kind != "dealPaid" || *paid.Amount != before.Accrued || !after.Accrued.IsZero() || after.Unspent != left {
		t.Errorf("paid %+v; before %+v; after %+v", paid, before, after)
	}
	w := decode[List[*WindowProof]](t, api.Handler(), "/v1/deals/1/proofs")
	if len(w.Items) != 1 || w.Items[0].State != "proven" || len(w.Items[0].Message) != 64 {
		t.Fatalf("proofs %+v", w.Items)
	}
	for next := n.store.View().Height() + chain.Height(n.params.Period()); n.store.View().Height() <= next; {
		n.block() // unproven
	}
	w = decode[List[*WindowProof]](t, api.Handler(), "/v1/sectors/t01000/7/proofs")
	if len(w.Items) < 2 || w.Items[0].State != "missed" || w.Items[0].Message != "" || w.Items[0].Closes > w.Items[0].Height {
		t.Errorf("after a missed window: %+v", w.Items[0])
	}
	if p := payments(); !p.Accrued.IsZero() {
		t.Errorf("a faulty sector earns %s", p.Accrued)
	}
}
