package devnet

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// votes are those of the present height by miner; 0: of genesis validators.
func (s *stage) votes() map[chain.MinerID]uint64 {
	s.t.Helper()
	view := s.Nodes[0].Store().View()
	voters, err := consensus.Voters(view, view.Height())
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[chain.MinerID]uint64{}
	for _, v := range voters {
		out[v.Miner] += v.Power
	}
	return out
}

// TestE2EVotesComeAndGo begins with one validator. Four miners with a node and a
// sector each take its votes over; then all their disks are gone, while their
// nodes run: the set shrinks to the one again, and the chain never stops.
func TestE2EVotesComeAndGo(t *testing.T) {
	endToEnd(t)
	params := stageParams()
	params.Window, params.VoteEpoch, params.GenesisThreshold = 10, 10, 8<<10
	s := setStageOf(t, WorldOptions{Miners: 4, Voting: true, Level: true, Options: Options{Followers: 4}}, params)
	p := s.newPatron()
	_, ids := p.put(some(1500, 1), 4)
	p.serve()
	s.until("four sectors", func() bool {
		for _, id := range ids {
			if !s.active(id)() {
				return false
			}
		}
		return true
	})
	if v := s.votes(); len(v) != 1 || v[0] == 0 {
		t.Fatalf("votes before the first border are %v", v)
	}
	s.until("the miners vote", func() bool {
		v := s.votes()
		return v[0] == 0 && len(v) == 4
	})
	for _, m := range s.Miners {
		if err := os.RemoveAll(filepath.Join(m.Home, "sectors")); err != nil {
			t.Fatal(err)
		}
	}
	s.until("nobody has power", func() bool { return s.global().Power == 0 })
	s.until("one validator is left", func() bool {
		v := s.votes()
		return v[0] != 0 && len(v) == 1
	})
	s.blocks(10)
	s.check()
}
