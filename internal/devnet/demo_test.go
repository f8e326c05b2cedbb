package devnet

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/perdure/perdure/chain"
)

// lines is a Screen that remembers.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Line(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, text)
}

func (l *lines) Progress(string) {}

// TestDemo runs the main line with 2 KiB sectors and quick blocks.
func TestDemo(t *testing.T) {
	dir, ctx := dirOf(t), limited(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("what is stored"), 0o600); err != nil {
		t.Fatal(err)
	}
	params := quick()
	params.ActivateBy, params.FetchBy = 3000, 2000 // blocks are many times quicker than work is
	show := new(lines)
	d, err := NewDemo(ctx, DemoOptions{
		World: WorldOptions{Options: Options{Dir: dir, Params: params}, Miners: 3, SectorSize: 2 << 10},
		File:  file, Copies: 2, Show: show,
	})
	if err != nil {
		t.Fatal(err)
	}
	report, err := d.Run(ctx)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err != nil || !report.OK {
		t.Fatalf("demo: %v, %q\n%s", err, report.Problems, strings.Join(show.all, "\n"))
	}
	if report.File.Size != 14 || len(report.Deals) != 2 || len(report.Proofs) < 4 || report.Chain.Bytes == 0 || report.Retrieval.Chunks != 1 {
		t.Errorf("report is %+v", report)
	}
	var summary bytes.Buffer
	if err := report.Summary(&summary); err != nil || !strings.Contains(summary.String(), report.RootCID) {
		t.Errorf("summary, %v: %s", err, &summary)
	}
}

// TestE2EDemoLose switches off one of two miners with a copy: the report tells of
// fault, loss, the chain's bid and the copy on the third miner, proven.
func TestE2EDemoLose(t *testing.T) {
	endToEnd(t)
	ctx := limited(t)
	params := LoseParams()
	params.BlockMillis, params.Window = 150, 10
	params.ActivateBy, params.FetchBy = 3000, 2000
	file, show := filepath.Join(t.TempDir(), "file"), new(lines)
	if err := os.WriteFile(file, some(1000, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := NewDemo(ctx, DemoOptions{
		World: WorldOptions{Options: Options{Dir: dirOf(t), Params: params}, Miners: 3, SectorSize: 2 << 10, Level: true},
		File:  file, Copies: 2, Lose: 1, Show: show,
	})
	if err != nil {
		t.Fatal(err)
	}
	report, err := d.Run(ctx)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	said := strings.Join(show.all, "\n")
	if err != nil || !report.OK {
		t.Fatalf("demo: %v, %q\n%s", err, report.Problems, said)
	}
	for _, l := range report.Losses {
		if l.NewMiner == l.Miner || !(l.OffAt < l.FaultAt && l.FaultAt < l.LostAt && l.LostAt == l.OrderedAt && l.OrderedAt < l.ActiveAt && l.ActiveAt < l.ProvenAt) {
			t.Errorf("loss is %+v", l)
		}
		if l.Allowance.IsZero() || l.Escrow.IsZero() || !strings.Contains(said, "the chain bids for another copy") {
			t.Errorf("repair paid %s of %s, said was\n%s", l.Allowance, l.Escrow, said)
		}
	}
	if len(report.Losses) != len(report.Pieces) {
		t.Errorf("%d losses of %d pieces with one of two miners", len(report.Losses), len(report.Pieces))
	}
}

// TestDemoLoseRefuses what cannot be repaired.
func TestDemoLoseRefuses(t *testing.T) {
	for _, o := range []DemoOptions{
		{World: WorldOptions{Miners: 3}, Copies: 2, Lose: 2},
		{World: WorldOptions{Miners: 2}, Copies: 2, Lose: 1},
		{World: WorldOptions{Miners: 2}, Copies: 1, Lose: -1},
	} {
		o.Show = new(lines)
		if _, err := NewDemo(t.Context(), o); err == nil {
			t.Errorf("%d miners, %d copies, %d to be lost: taken", o.World.Miners, o.Copies, o.Lose)
		}
	}
}

// fine is a report of which everything holds.
func fine() *Report {
	price := chain.Atto(3)
	return &Report{copies: 2, File: ReportFile{SHA256: "ab", Size: 1}, Pieces: []ReportPiece{{}},
		Deals: []ReportDeal{{Miner: "t01000", ActiveAt: 5}, {Miner: "t01001", ActiveAt: 6}},
		Proofs: []ReportProof{{Miner: "t01000", Height: 7}, {Miner: "t01001", Height: 8},
			{Miner: "t01000", Height: 9}, {Miner: "t01001", Height: 10}},
		Retrieval: ReportRetrieval{Chunks: 2, ChunkPrice: price, Paid: chain.Atto(6), Redeemed: chain.Atto(6), SHA256: "ab"}}
}

func TestJudge(t *testing.T) {
	good := fine()
	if good.judge(); !good.OK {
		t.Errorf("nothing is wrong, but %q", good.Problems)
	}
	for name, spoil := range map[string]func(*Report){
		"a copy is not active": func(r *Report) { r.Deals[1].ActiveAt = 0 },
		"a copy is missing":    func(r *Report) { r.Deals = r.Deals[:1] },
		"nothing was stored":   func(r *Report) { r.Pieces, r.Deals = nil, nil },
		"one proof too few":    func(r *Report) { r.Proofs = r.Proofs[:3] },
		"another content":      func(r *Report) { r.Retrieval.SHA256 = "ac" },
		"no content":           func(r *Report) { r.Retrieval.SHA256, r.File.SHA256 = "", "" },
		"paid too much":        func(r *Report) { r.Retrieval.Paid, r.Retrieval.Redeemed = chain.Atto(7), chain.Atto(7) },
		"paid nothing":         func(r *Report) { r.Retrieval = ReportRetrieval{SHA256: "ab", Chunks: 2} },
		"redeemed less":        func(r *Report) { r.Retrieval.Redeemed = chain.Atto(5) },
		"nothing was lost":     func(r *Report) { r.lose = 1 },
		"lost and not repaired": func(r *Report) {
			r.lose, r.Losses = 1, []ReportLoss{{Miner: "t01000", FaultAt: 11, LostAt: 12, OrderedAt: 12, Slashed: chain.Atto(1)}}
		},
		"repaired by a holder": func(r *Report) {
			r.lose, r.Losses = 1, []ReportLoss{{Miner: "t01000", FaultAt: 11, LostAt: 12, OrderedAt: 12, Slashed: chain.Atto(1),
				NewMiner: "t01001", ActiveAt: 13, ProvenAt: 14}}
		},
		"redeemed more than due": func(r *Report) { r.Retrieval.Redeemed = chain.Atto(9) },
	} {
		r := fine()
		spoil(r)
		if r.judge(); r.OK || len(r.Problems) == 0 {
			t.Errorf("%s: judged as fine", name)
		}
	}
}

// TestReportKeys holds the JSON against the keys that programs rely on.
func TestReportKeys(t *testing.T) {
	raw, err := json.Marshal(fine())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	keys := func(v any) (n int) { m, _ := v.(map[string]any); return len(m) }
	for name, want := range map[string]int{"file": 2, "retrieval": 7, "chain": 5} {
		if keys(got[name]) != want {
			t.Errorf("%s has %d keys, want %d: %v", name, keys(got[name]), want, got[name])
		}
	}
	for _, name := range []string{"ok", "file", "rootCid", "pieceCid", "pieces", "deals", "proofs", "retrieval", "chain"} {
		if _, ok := got[name]; !ok || len(got) != 9 {
			t.Errorf("%d keys, %q among them: %v", len(got), name, ok)
		}
	}
}
