package app

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state"
)

// TestTooOld announces rules that this program does not know: it makes blocks up
// to the height before them, then every node stops and its error says why.
func TestTooOld(t *testing.T) {
	e := newEngine(t, 4)
	at := chain.Height(e.height) + chain.Height(e.params.Notice()) + 4
	e.submit(e.sign(0, chain.Message{MaxFee: chain.PDR(1)}, &chain.Propose{RuleVersion: consensus.NewestRules + 1, Effective: at}))
	e.block()
	for from := byte(1); from < 3; from++ {
		e.submit(e.sign(from, chain.Message{MaxFee: chain.PDR(1)}, &chain.Approve{Proposal: 1}))
	}
	e.block()
	for chain.Height(e.height) < at-1 {
		e.block()
	}
	m := e.members[0]
	_, err := m.app.FinalizeBlock(t.Context(), &abci.RequestFinalizeBlock{Height: int64(at), Time: e.time(), ProposerAddress: m.address})
	var old *consensus.TooOldError
	if !errors.As(err, &old) || old.Height != at || old.Version != consensus.NewestRules+1 {
		t.Fatalf("block %d: %v", at, err)
	}
	select {
	case err := <-m.app.Failed():
		if !errors.As(err, &old) {
			t.Errorf("the node is told of %v", err)
		}
	default:
		t.Error("the node is not told to stop")
	}
	if h := m.store.View().Height(); h != at-1 {
		t.Errorf("the state is at height %d, want %d", h, at-1)
	}
}

// TestAmendedAges lets voters change how long states are kept, evidence counts and
// headers are trusted. CometBFT is told with the last block under the old values;
// the root links to the new ones from then on, also in a store that is opened
// again, and in one that is restored from a snapshot.
func TestAmendedAges(t *testing.T) {
	e := newEngine(t, 4, func(p *consensus.Params) { p.VoteEpoch = 2 })
	at := chain.Height(e.height) + chain.Height(e.params.Notice()) + 4
	want := map[string]uint64{"stateRetention": 500, "evidenceAge": 400, "trustPeriod": 200, "endedRetention": 3_000}
	propose := &chain.Propose{Effective: at}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		propose.Values = append(propose.Values, chain.ParamValue{Name: name, Value: chain.Atto(want[name])})
	}
	e.submit(e.sign(0, chain.Message{MaxFee: chain.PDR(1)}, propose))
	e.block()
	for from := byte(1); from < 3; from++ {
		e.submit(e.sign(from, chain.Message{MaxFee: chain.PDR(1)}, &chain.Approve{Proposal: 1}))
	}
	for chain.Height(e.height) < at-2 {
		if e.block(); e.engineParams != nil {
			t.Fatalf("block %d changes the engine's parameters", e.height)
		}
	}
	m := e.members[0]
	before := m.store.View().ParamsLink()
	e.block()
	if got := e.engineParams; got == nil || got.Block != nil || got.Evidence == nil || got.Evidence.MaxAgeNumBlocks != 400 ||
		got.Evidence.MaxAgeDuration != 400*time.Duration(e.params.BlockMillis)*time.Millisecond {
		t.Errorf("block %d hands %+v to the engine", e.height, got)
	}
	check := func(how string, s *state.Store) {
		t.Helper()
		p, err := s.View().Params()
		if err != nil || p.StateRetention != 500 || p.EvidenceAge != 400 || p.TrustPeriod != 200 || p.EndedRetention != 3_000 {
			t.Errorf("%s: parameters are %+v, %v", how, p, err)
		}
		if s.View().ParamsLink() == before {
			t.Errorf("%s: the root links to the parameters of before", how)
		}
	}
	check("committed", m.store)
	if old, err := m.store.At(at - 2); err != nil || old.ParamsLink() != before {
		t.Errorf("the state before links to %v, %v", old, err)
	}
	e.block()
	if e.engineParams != nil {
		t.Errorf("block %d tells the engine again", e.height)
	}
	if err := m.store.Close(); err != nil {
		t.Fatal(err)
	}
	e.open(m)
	check("opened again", m.store)
	var car bytes.Buffer
	export, err := m.store.Export(chain.Height(e.height))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(export.Write(t.Context(), &car), export.Close()); err != nil {
		t.Fatal(err)
	}
	copied, err := state.Open(state.Config{Dir: "copy", Params: e.params, FS: vfs.NewMem(), Cache: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	r, err := copied.Restore(chain.Height(e.height), m.store.View().AppHash())
	if err == nil {
		_, err = r.Write(car.Bytes())
	}
	if err == nil {
		err = r.Finish()
	}
	if err != nil {
		t.Fatal(err)
	}
	check("restored", copied)
	e.block()
}
