package consensus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
)

// trade matches a bid of client with an ask of miner 1000: 8 MiB for 300 blocks.
func (s *scene) trade() {
	s.t.Helper()
	s.send("miner: create-miner size=8MiB fund=500PDR")
	s.send("miner: ask miner=1000 price=0.1PDR capacity=8MiB min=8MiB max=8MiB collateral=10PDR",
		"client: bid piece=p size=8MiB price=0.1PDR duration=300")
	s.advance(3)
	var d chain.Deal
	if !s.record(chain.DealKey(1), &d) {
		s.t.Fatal("no deal was made")
	}
}

// sealDeal puts deal 1 into sector 1 and proves it.
func (s *scene) sealDeal() {
	s.t.Helper()
	s.send("miner: accept miner=1000 deals=1")
	s.send(fmt.Sprintf("miner: precommit miner=1000 sectors=1 pieces=8MiB:1 expires=%d", s.height+3000))
	s.advance(int(s.params.SeedDelay))
	s.proveSeal(1)
}

// quickEnds lets deals go void, and sectors get lost, within a scenario.
func quickEnds(p *Params) { p.FetchBy, p.ActivateBy, p.FaultMaxAge = 50, 250, 2 }

// TestScenarioDropDeal: a deal's data is thrown away half-way. The client gets its
// unspent pay and what is left of the collateral.
func TestScenarioDropDeal(t *testing.T) {
	(&scenario{money: miners(), params: quickEnds, cheater: "miner", victim: "client", play: func(s *scene) {
		s.trade()
		s.sealDeal()
		s.prove(600, func(_ *chain.Miner, period, _ uint64) []string {
			if s.cheat && period >= 2 {
				return idle
			}
			return nil
		})
		s.unstored(mib8, 450)
	}}).run(t)
}

// TestScenarioMinerNoShow: a miner matches and never fetches. Both lose the same
// deposit, since nobody can tell who failed.
func TestScenarioMinerNoShow(t *testing.T) {
	(&scenario{money: miners(), params: quickEnds, cheater: "miner", victim: "client", bears: 100, play: func(s *scene) {
		s.trade()
		if s.cheat {
			s.prove(600+3+int(s.params.SeedDelay), nil)
			s.unstored(mib8, 300)
			return
		}
		s.sealDeal()
		s.prove(600, nil)
	}}).run(t)
}

// TestScenarioClientNoShow: a client matches and never sends, to hold the miner's
// space. It gets no storage, and pays as much as the miner loses.
func TestScenarioClientNoShow(t *testing.T) {
	(&scenario{money: miners(), params: quickEnds, cheater: "client", victim: "miner", bears: 100, play: func(s *scene) {
		s.send("miner: create-miner size=8MiB fund=500PDR")
		if !s.cheat { // the same ask, and a client that asks for nothing
			s.send("miner: ask miner=1000 price=0.1PDR capacity=8MiB min=8MiB max=8MiB collateral=10PDR")
			s.advance(103)
			return
		}
		s.send("miner: ask miner=1000 price=0.1PDR capacity=8MiB min=8MiB max=8MiB collateral=10PDR",
			"client: bid piece=p size=8MiB price=0.1PDR duration=300")
		s.advance(103)
	}}).run(t)
}

// TestScenarioRefusedRenewal: whoever stores its own data has the deal renewed, by
// a miner that is cheaper than itself, and does not sell that one the data.
func TestScenarioRefusedRenewal(t *testing.T) {
	(&scenario{money: []named{{"miner", chain.PDR(1000)}, {"other", chain.PDR(1000)}}, params: quickEnds, cheater: "miner", victim: "other", bears: 100,
		play: func(s *scene) {
			bid := "miner: bid piece=p size=8MiB price=0.1PDR duration=300"
			if s.cheat {
				bid += " renew=1 renewprice=0.1PDR"
			}
			s.send("miner: create-miner size=8MiB fund=500PDR", "other: create-miner size=8MiB fund=500PDR")
			s.send("miner: ask miner=1000 price=0.1PDR capacity=8MiB min=8MiB max=8MiB collateral=10PDR", bid)
			s.advance(3)
			s.sealDeal()
			s.send("other: ask miner=1001 price=0.09PDR capacity=8MiB min=8MiB max=8MiB collateral=10PDR expiry=+500")
			s.prove(400, nil)
			s.matched(s.cheat, "other", 2)
		}}).run(t)
}

// TestScenarioRefusedRepair: a client that stores two copies of its own data gives
// one up, so that another miner takes the repair, and does not sell it the data.
func TestScenarioRefusedRepair(t *testing.T) {
	(&scenario{money: []named{{"client", chain.PDR(1000)}, {"miner", chain.PDR(1000)}, {"second", chain.PDR(1000)}, {"other", chain.PDR(1000)}},
		params: quickEnds, cheater: "client", allies: []string{"miner", "second"}, victim: "other", bears: 100, play: func(s *scene) {
			s.send("miner: create-miner size=8MiB fund=500PDR", "second: create-miner size=8MiB fund=500PDR", "other: create-miner size=8MiB fund=500PDR")
			s.send("miner: ask miner=1000 price=0.1PDR capacity=8MiB min=8MiB max=8MiB collateral=10PDR",
				"second: ask miner=1001 price=0.1PDR capacity=8MiB min=8MiB max=8MiB collateral=10PDR",
				"client: bid piece=p size=8MiB price=0.1PDR duration=300 copies=2")
			s.advance(3)
			var first chain.Deal
			s.record(chain.DealKey(1), &first)
			mine, theirs := uint64(1), uint64(2)
			if first.Miner != chain.FirstMinerID {
				mine, theirs = 2, 1
			}
			life := s.height + 3000
			s.send(fmt.Sprintf("miner: accept miner=1000 deals=%d", mine), fmt.Sprintf("second: accept miner=1001 deals=%d", theirs))
			s.send(fmt.Sprintf("miner: precommit miner=1000 sectors=1 pieces=8MiB:%d expires=%d", mine, life),
				fmt.Sprintf("second: precommit miner=1001 sectors=1 pieces=8MiB:%d expires=%d", theirs, life))
			s.advance(int(s.params.SeedDelay))
			s.send("miner: prove miner=1000 sector=1", "second: prove miner=1001 sector=1")
			s.send("other: ask miner=1002 price=0.1PDR capacity=8MiB min=8MiB max=8MiB collateral=10PDR expiry=+500")
			if s.cheat {
				s.send("second: terminate miner=1001 sectors=1")
			} else {
				s.advance(1)
			}
			s.prove(400, nil)
			s.matched(s.cheat, "other", 3)
		}}).run(t)
}

// matched checks whether a miner of an account got a deal, which came to nothing.
func (s *scene) matched(want bool, owner string, id uint64) {
	s.t.Helper()
	var d chain.Deal
	var m chain.Miner
	got := s.record(chain.DealKey(id), &d) && s.record(chain.MinerKey(d.Miner), &m) && m.Keys.Owner == addressOf(s.t, owner) && d.State == chain.DealVoid
	if got != want {
		s.t.Fatalf("deal %d of a miner of %s: %v, want %v: %+v", id, owner, got, want, d)
	}
}

// TestScenarioAcceptAndDrop: a miner says that it holds the data and never seals
// it. The client is made whole.
func TestScenarioAcceptAndDrop(t *testing.T) {
	(&scenario{money: miners(), params: quickEnds, cheater: "miner", victim: "client", play: func(s *scene) {
		s.trade()
		if s.cheat {
			s.send("miner: accept miner=1000 deals=1")
			s.prove(600+2+int(s.params.SeedDelay), nil)
			s.unstored(mib8, 300)
			return
		}
		s.sealDeal()
		s.prove(600, nil)
	}}).run(t)
}

// TestScenarioSpoof: orders are placed to be seen and withdrawn before they can
// be met.
func TestScenarioSpoof(t *testing.T) {
	(&scenario{money: miners(), cheater: "client", victim: "miner", play: func(s *scene) {
		s.send("miner: create-miner size=8MiB fund=500PDR")
		for i := range 10 {
			s.send("client: bid piece=p size=8MiB price=0.1PDR duration=300")
			if s.cheat {
				s.send(fmt.Sprintf("client: cancel order=%d", i+1))
				s.advance(2)
				continue
			}
			s.advance(2) // it binds for a block, then
			s.advance(1)
		}
		if s.cheat {
			s.advance(1)
			return
		}
		var lines []string
		for i := range 10 {
			lines = append(lines, fmt.Sprintf("client: cancel order=%d", i+1))
		}
		s.send(lines...)
	}}).run(t)
}

// TestScenarioStaleClaim: a payer closes a channel before the payee has redeemed.
// The payee still redeems in the delay.
func TestScenarioStaleClaim(t *testing.T) {
	(&scenario{money: []named{{"payer", chain.PDR(1000)}, {"payee", chain.PDR(10)}}, cheater: "payer", victim: "payee", bears: 0,
		play: func(s *scene) {
			redeem := "payee: redeem channel=1 payer=payer price=0.1PDR ticks=100 k=70"
			s.send("payer: open payee=payee amount=50PDR")
			if s.cheat {
				s.send("payer: settle-channel channel=1")
				s.send(redeem)
				s.advance(int(s.params.SettleDelay))
				return
			}
			s.send(redeem)
			s.advance(1)
			s.advance(int(s.params.SettleDelay))
		}}).run(t)
}

// TestScenarioRedeemTwice: a payee shows a claim that was paid already.
func TestScenarioRedeemTwice(t *testing.T) {
	(&scenario{money: []named{{"payer", chain.PDR(1000)}, {"payee", chain.PDR(10)}}, cheater: "payee", victim: "payer",
		play: func(s *scene) {
			s.send("payer: open payee=payee amount=50PDR")
			s.send("payee: redeem channel=1 payer=payer price=0.1PDR ticks=100 k=70")
			if !s.cheat {
				s.advance(5)
				return
			}
			for range 5 {
				line := "payee: redeem channel=1 payer=payer price=0.1PDR ticks=100 k=70"
				_, results := s.block(s.message(line, map[string]uint64{}))
				if results[0].Code != CodeFailed || !strings.Contains(results[0].Error, "redeem") {
					s.t.Fatalf("a claim is paid twice: %s %s", results[0].Code, results[0].Error)
				}
			}
		}}).run(t)
}

// TestScenarioSilentContributor: a validator never contributes to the beacon when
// it is drawn, for the bit that a skip is worth. The proposer pays as much as it:
// nobody can tell which of the two kept the contribution back.
func TestScenarioSilentContributor(t *testing.T) {
	(&scenario{money: []named{{"silent", chain.PDR(1000)}, {"other", chain.PDR(1000)}}, voters: []string{"silent", "other"},
		cheater: "silent", victim: "other", bears: 100, play: func(s *scene) {
			for range 60 {
				mode := beaconGiven
				if v := s.drawn(); s.cheat && v == "silent" {
					mode = beaconAbsent
				}
				s.blockWith(&Block{Beacon: s.contribution(mode), Proposer: proposerOf("other")})
			}
		}}).run(t)
}

// drawn is the name of the contributor of the next block; the first blocks have none.
func (s *scene) drawn() string {
	s.t.Helper()
	var base chain.Beacon
	s.record(chain.BeaconKey(BeaconBase(s.height+1)), &base)
	i, ok := Contributor(s.voters(s.height), s.height+1, base.Value)
	if !ok {
		return ""
	}
	return s.vals[i]
}

// TestScenarioEquivocation: a storage validator signs two blocks of a height.
func TestScenarioEquivocation(t *testing.T) {
	(&scenario{money: miners(), cheater: "miner", victim: "client", play: func(s *scene) {
		s.send("miner: create-miner size=8MiB fund=500PDR votes=double")
		s.send("miner: precommit miner=1000 sectors=1,2,3")
		s.advance(int(s.params.SeedDelay))
		s.proveSeal(1, 2, 3)
		s.prove(300, nil)
		if !votesIn(s.newestVoters(), chain.FirstMinerID) {
			s.t.Fatal("the miner does not vote: nothing is played")
		}
		b := &Block{Beacon: s.contribution(beaconGiven)}
		if s.cheat {
			b.Evidence = []Evidence{{Address: proposerOf("double"), Height: s.height - 2}}
		}
		s.blockWith(b)
		s.prove(300, nil)
		if votesIn(s.newestVoters(), chain.FirstMinerID) == s.cheat {
			s.t.Errorf("votes after: %v", !s.cheat)
		}
	}}).run(t)
}
