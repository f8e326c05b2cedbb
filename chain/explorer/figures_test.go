package explorer

import (
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// TestFigures holds what the API says of a chain that the rules made against a
// recount of its Updates and its state.
func TestFigures(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	h := api.Handler()
	var fees, minted, blocks big.Int
	for height := chain.Height(1); height <= n.store.View().Height(); height++ {
		raw, err := n.store.Update(height)
		must(t, err)
		var u consensus.Update
		must(t, chain.Decode(raw, &u))
		blocks.Add(&blocks, big.NewInt(1))
		for i := range u.Receipts {
			fees.Add(&fees, u.Receipts[i].Fee.Big())
		}
		for i := range u.Events {
			if u.Events[i].Kind == consensus.EventBlockReward {
				minted.Add(&minted, u.Events[i].Amount.Big())
			}
		}
	}
	var g chain.Global
	n.load(chain.GlobalKey(), &g)
	s := decode[Stats](t, h, "/v1/stats")
	if s.Day.Fees.Big().Cmp(&fees) != 0 || s.Day.BlockRewards.Big().Cmp(&minted) != 0 || s.Day.Blocks != blocks.Uint64() || s.Supply != supplyOf(&g) ||
		s.Counts.PowerBytes != g.Power || s.Counts.StoredBytes != 1<<10 || s.Counts.DealsActive != 1 || s.BlockSeconds != 1 || s.Day.Proofs != 1 {
		t.Errorf("stats %+v, want fees %s, rewards %s, %s blocks", s, &fees, &minted, &blocks)
	}
	var summed big.Int
	twice := decode[SeriesAnswer](t, h, "/v1/series?name=feesBurned,price,feesBurned,price,price&interval=1m").Series
	if len(twice) != 2 || twice[0].Name != "feesBurned" || twice[1].Name != "price" {
		t.Errorf("series that are named several times: %+v", twice)
	}
	for _, item := range decode[SeriesAnswer](t, h, "/v1/series?name=feesBurned&interval=1m").Items {
		v, _ := new(big.Int).SetString(item.Values["feesBurned"].(string), 10)
		summed.Add(&summed, v)
	}
	if summed.Cmp(g.Supply.Burned.Big()) != 0 {
		t.Errorf("minutes burned %s of fees, %s is burned in all", &summed, g.Supply.Burned)
	}
	v := decode[ValidatorDetail](t, h, "/v1/validators/"+hexText(consensus.ConsensusAddress(seed("val"))))
	if v.Rewards.Total.Big().Cmp(&minted) != 0 || v.Rewards.Day != v.Rewards.Total || v.Uptime.Blocks != 100 || v.Uptime.For != 80 || !v.Voting || v.Share != 1 {
		t.Errorf("validator %+v, rewards %+v", v, v.Rewards)
	}
	if b := decode[BlockVotes](t, h, "/v1/blocks/5/votes"); b.VotesFor != 0 || b.Votes != 10 || b.Items[0].Vote != "nil" || b.Round != 1 {
		t.Errorf("votes on block 5: %+v", b)
	}
	if code, body := get(t, h, fmt.Sprintf("/v1/blocks/%d/votes", g.Height)); code != http.StatusNotFound {
		t.Errorf("votes on the newest block: %d %s", code, body)
	}
	if b := decode[BlockVotes](t, h, "/v1/blocks/latest/votes"); b.Block != g.Height-1 || b.Votes != 10 || b.Height != g.Height {
		t.Errorf("latest votes: %+v", b)
	}
	var rest big.Int
	for i, a := range decode[List[*RichAccount]](t, h, "/v1/accounts").Items {
		var acc chain.Account
		who, err := chain.ParseAddress(a.Address)
		must(t, err)
		n.load(chain.AccountKey(who), &acc)
		rest.Add(&rest, a.Balance.Big())
		if acc.Balance != a.Balance || a.Rank != uint64(i+1) {
			t.Errorf("account %+v has %s", a, acc.Balance)
		}
	}
	var m chain.Miner
	n.load(chain.MinerKey(testMiner), &m)
	if rest.Add(&rest, m.Balance.Big()); rest.Cmp(g.Supply.Accounts.Big()) != 0 {
		t.Errorf("accounts and miner have %s, the supply says %s", &rest, g.Supply.Accounts)
	}
}

// TestCalendar shows the windows of a miner: one that was proven, one that was
// missed, and those to come.
func TestCalendar(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	var s chain.Sector
	var m chain.Miner
	n.load(chain.SectorKey(testMiner, 7), &s)
	n.load(chain.MinerKey(testMiner), &m)
	for range n.params.Schedule().Period() + n.params.Window {
		n.block()
	}
	api, _ := serve(t, n)
	c := decode[Calendar](t, api.Handler(), "/v1/miners/t01000/calendar?from=60")
	var states []string
	for _, w := range c.Items {
		if w.Deadline == s.Deadline {
			states = append(states, w.State)
		}
		if w.Opens != m.PeriodStart+chain.Height(w.Period*n.params.Period()+w.Deadline*n.params.Window) {
			t.Errorf("window %d of period %d opens at %d", w.Deadline, w.Period, w.Opens)
		}
		if len(w.Partitions) == 1 && w.State == "proven" && (w.Partitions[0].Message == "" || w.Partitions[0].ProofHeight < w.Opens || w.Partitions[0].ProofHeight > w.Closes) {
			t.Errorf("proven window %+v", w)
		}
	}
	proven, missed, upcoming := slices.Index(states, "proven"), slices.Index(states, "missed"), slices.Index(states, "upcoming")
	if proven < 0 || missed != proven+1 || upcoming <= missed {
		t.Errorf("windows of the deadline are %v", states)
	}
	if l := decode[List[*Fault]](t, api.Handler(), "/v1/miners/t01000/faults"); len(l.Items) != 1 || l.Items[0].Kind != "sectorFaulty" || l.Items[0].Reason != "missed" || *l.Items[0].Sector != 7 {
		t.Errorf("faults %+v", l.Items)
	}
	d := decode[MinerDetail](t, api.Handler(), "/v1/miners/t01000")
	if d.Rank != 1 || d.SectorsByState.Faulty != 1 || d.SectorsByState.Active != 0 {
		t.Errorf("miner %+v", d.MinerFigures)
	}
	period, tip := chain.Height(n.params.Period()), n.store.View().Height()
	for query, want := range map[string][2]chain.Height{"": {tip - period, tip + period}, "?from=1": {1, min(1+4*period, tip+period)}, "?to=60": {0, 60},
		fmt.Sprintf("?from=%d", tip+period): {tip + period, tip + 2*period}, fmt.Sprintf("?to=%d", tip+4*period): {tip, tip + 4*period}} {
		if c := decode[Calendar](t, api.Handler(), "/v1/miners/t01000/calendar"+query); c.From != want[0] || c.To != want[1] {
			t.Errorf("calendar %q is from %d to %d, want %v", query, c.From, c.To, want)
		}
	}
	for path, code := range map[string]int{"/v1/miners/t01000/calendar?from=9&to=8": 400, "/v1/miners/t01000/calendar?from=9223372036854775807": 400, "/v1/miners/t01000/calendar?to=99999999": 400, "/v1/miners/t01001/calendar": 404,
		"/v1/series?name=wealth": 400, "/v1/validators/00": 400, "/v1/validators/0000000000000000000000000000000000000000": 404, "/v1/validators?height=9999999": 404,
		"/v1/accounts?cursor=AAAA": 400, "/v1/proposals?state=old": 400, "/v1/miners/t01000/rewards?interval=1m": 400} {
		if got, body := get(t, api.Handler(), path); got != code {
			t.Errorf("%s: %d %s, want %d", path, got, body, code)
		}
	}
}

// TestParamHistory follows a change of parameters into force.
func TestParamHistory(t *testing.T) {
	n := newNetwork(t)
	n.block()
	api, _ := serve(t, n)
	h := api.Handler()
	was := n.params.FaultFee
	at := n.store.View().Height() + 1 + chain.Height(n.params.Notice()) + 2
	fee := chain.Atto(chain.AttoPerPDR / 400)
	n.all(n.message("val", 0, &chain.Propose{Values: []chain.ParamValue{{Name: "faultFee", Value: fee}}, Effective: at}))
	for n.store.View().Height() < at {
		n.block()
	}
	l := decode[List[*Amendment]](t, h, "/v1/params/history")
	if len(l.Items) != 1 || l.Items[0].Height != at || len(l.Items[0].Values) != 1 || l.Items[0].Values[0] != (ParamChange{"faultFee", was, fee}) {
		t.Errorf("history %+v", l.Items)
	}
	if p := decode[Proposals](t, h, "/v1/proposals?state=all"); len(p.Items) != 1 || p.Items[0].Reason != "in force" || p.Items[0].Ended != at-1 {
		t.Errorf("all proposals %+v", p.Items)
	}
	if p := decode[Proposals](t, h, "/v1/proposals"); len(p.Items) != 0 {
		t.Errorf("open proposals %+v", p.Items)
	}
}
