package devnet

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// electorate is a network whose votes a test looks at.
type electorate struct {
	*World
	t   *testing.T
	ctx context.Context
}

// newElectorate starts a network that may take some time at most.
func newElectorate(t *testing.T, most time.Duration, o WorldOptions) *electorate {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	t.Cleanup(cancel)
	if os.Getenv("PERDURE_E2E_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	w, err := StartWorld(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return &electorate{w, t, ctx}
}

// votes are those of the next block by consensus address, as the rules have them.
func (e *electorate) votes() (next chain.Height, votes map[string]uint64, miners int) {
	e.t.Helper()
	view := e.Nodes[0].Store().View()
	next = view.Height() + 1
	voters, err := consensus.Voters(view, next)
	if err != nil {
		e.t.Fatal(err)
	}
	votes = map[string]uint64{}
	for _, v := range voters {
		votes[strings.ToUpper(hex.EncodeToString(consensus.ConsensusAddress(v.PubKey)))] = v.Power
		if v.Miner != 0 {
			miners++
		}
	}
	return next, votes, miners
}

// engineVotes are those of a height as CometBFT has them; it knows them once the
// height before is committed.
func (e *electorate) engineVotes(h chain.Height) map[string]uint64 {
	e.t.Helper()
	r, err := http.Get(fmt.Sprintf("%s/validators?height=%d", e.Nodes[0].RPC(), h))
	if err != nil {
		e.t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	var answer struct {
		Result struct {
			Validators []struct {
				Address string `json:"address"`
				Power   uint64 `json:"voting_power,string"`
			} `json:"validators"`
		} `json:"result"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		e.t.Fatalf("%v: %s", err, b)
	}
	out := map[string]uint64{}
	for _, v := range answer.Result.Validators {
		out[v.Address] = v.Power
	}
	return out
}

// until waits for blocks until so many miners, and whether genesis validators,
// are all who vote. Rules and engine agree on the votes of every height.
func (e *electorate) until(what string, miners, all int) {
	e.t.Helper()
	for {
		next, votes, storage := e.votes()
		if err := e.reach(e.ctx, 0, next); err != nil {
			e.t.Fatalf("%s: %v", what, err)
		}
		if engine := e.engineVotes(next); !maps.Equal(engine, votes) {
			e.t.Fatalf("height %d: the engine has votes %v, the rules %v", next, engine, votes)
		}
		if storage == miners && len(votes) == all {
			e.t.Logf("%s: height %d, votes %v", what, next, votes)
			return
		}
	}
}

// stands waits for a while in which there must be no block.
func (e *electorate) stands() {
	e.t.Helper()
	h := e.Height()
	short, cancel := context.WithTimeout(e.ctx, 6*time.Second)
	defer cancel()
	if err := e.reach(short, 0, h+2); !errors.Is(err, context.DeadlineExceeded) { // one may be under way
		e.t.Fatalf("the chain goes on without half of its votes, from height %d to %d: %v", h, e.Height(), err)
	}
}

// TestE2EVotesFromStorage grows a network of one genesis validator to four miners
// who vote alone with sectors that are really sealed and proven; lets half of
// them go offline, which stops the chain, and come back; breaks all disks while
// the nodes stay online, so that the votes fall back; and lets the genesis
// validator go on alone.
func TestE2EVotesFromStorage(t *testing.T) {
	endToEnd(t)
	const committed = 2 // sectors without deals of each
	p := quick()
	p.BlockMillis, p.VoteEpoch = 200, 10
	p.GenesisThreshold = 4 * committed * (2 << 10)
	e := newElectorate(t, 9*time.Minute, WorldOptions{Options: Options{Dir: dirOf(t), Params: p, EngineLog: "none", Followers: 4}, Miners: 4, Voting: true,
		Commit: committed, SectorSize: 2 << 10})
	w, ctx := e.World, e.ctx
	e.until("miners alone", 4, 4)

	for _, i := range []int{3, 4} {
		if err := w.Miners[i-1].Stop(); err != nil { // its node is about to go
			t.Fatal(err)
		}
		if err := w.Stop(i); err != nil {
			t.Fatal(err)
		}
	}
	e.stands()
	stood := w.Height()
	for _, i := range []int{3, 4} {
		if err := w.Restart(i); err != nil {
			t.Fatal(err)
		}
		c := w.Network.Client(i)
		err := w.Miners[i-1].Start(ctx, c.Base())
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Reach(ctx, stood+3); err != nil {
		t.Fatal(err)
	}

	for _, m := range w.Miners {
		if err := m.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	e.until("genesis alone", 0, 1)
	h := w.Height()
	sameHashes(t, w.Network, h-1)
	for i := 1; i <= 4; i++ {
		if err := w.Stop(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Reach(ctx, h+5); err != nil {
		t.Fatal(err)
	}
}
