package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	"go.uber.org/goleak"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/chain/wallet"
)

func TestMain(m *testing.M) {
	code := m.Run()
	// CometBFT never ends these: its cache of seen messages, its log's files,
	// its index of transactions when it is stopped while it lags behind.
	// Others end when their sleep is over, hence more than one look.
	left := error(nil)
	for range 5 {
		left = goleak.Find(
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/internal/guard.NewWithInterval[...].func2"),
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/state/txindex.(*IndexerService).OnStart.func1"),
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/p2p.(*Switch).reconnectToPeer"),                // sleeps for long first
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/blocksync.(*BlockPool).makeRequestersRoutine"), // for seconds
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/consensus.(*timeoutTicker).timeoutRoutine"),    // started while the node stops
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/libs/autofile.OpenAutoFile.func1"),
			goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/libs/autofile.(*AutoFile).closeFileRoutine"))
		if left == nil {
			break
		}
	}
	if code == 0 && left != nil {
		fmt.Fprintln(os.Stderr, left)
		code = 1
	}
	os.Exit(code)
}

// secret is the private key of the test's account.
var secret = []byte("a private key of thirty-two byte")

// newHome makes the home of a chain with one validator and one account.
func newHome(t testing.TB) (string, *Config) {
	t.Helper()
	return newHomeIn(t, tempDir(t))
}

// newHomeIn is newHome in a directory of the test's.
func newHomeIn(t testing.TB, home string, change ...func(*consensus.Params)) (string, *Config) {
	t.Helper()
	id, err := Init(home)
	if err != nil {
		t.Fatal(err)
	}
	who, err := chain.AddressOfKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	p := consensus.Devnet()
	p.ChainID, p.BlockMillis = "node-test-1", 100
	for _, f := range change {
		f(p)
	}
	doc, err := MakeGenesis(&consensus.Genesis{Params: *p, Accounts: []consensus.GenesisAccount{
		{Address: chain.FormatAddress(who, p.Network), Balance: chain.PDR(100)}},
		Validators: []consensus.GenesisValidator{id.Validator(1, who, p.Network)}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := SaveGenesis(home, doc); err != nil {
		t.Fatal(err)
	}
	c := localConfig()
	return home, &c
}

// localConfig is a config that picks free ports.
func localConfig() Config {
	c := DefaultConfig()
	c.API, c.RPC, c.P2P = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	return c
}

// tempDir is t.TempDir for homes of nodes: CometBFT saves its address book in a
// goroutine that nobody can wait for, so the directory may have to be removed
// more than once.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "perdure-node-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 100 {
			if err = os.RemoveAll(dir); err == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Error(err)
	})
	return dir
}

// run starts a node and returns it with what stops it and gives Run's error.
func run(t testing.TB, o Options) (*Node, func() error) {
	t.Helper()
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return n, start(n)
}

// ends are the errors of nodes that stopped by themselves.
var ends sync.Map

// start runs a node that was opened and returns what stops it and gives Run's error.
func start(n *Node) func() error {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := n.Run(ctx)
		if ctx.Err() == nil {
			ends.Store(n, err)
			n.end() // who waits for its blocks waits no more
		}
		done <- err
	}()
	return func() error {
		cancel()
		return errors.Join(<-done, n.Close())
	}
}

// TestNode runs a node, talks to it by all its ways, and runs it again.
func TestNode(t *testing.T) {
	home, c := newHome(t)
	mount := func(n *Node) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "mounted "+r.URL.Path) }), nil
	}
	n, stop := run(t, Options{Home: home, Config: c, Mount: mount})
	client := rpc.New(n.API())
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	sender, err := wallet.NewSender(client, secret, chain.Amount{})
	if err != nil {
		t.Fatal(err)
	}
	in, err := sender.Send(ctx, &chain.Transfer{To: sender.Address(), Amount: chain.Atto(1)})
	if err != nil {
		t.Fatal(err)
	}
	if !n.Synced() || n.Peers() != 0 {
		t.Errorf("synced %v, %d peers", n.Synced(), n.Peers())
	}
	for url, want := range map[string]string{
		n.API() + "/metrics":  `perdure_chain_messages_total{result="ok"} 1`,
		n.API() + "/v1/other": "mounted /v1/other",
		n.RPC() + "/abci_query?path=%22/record/global%22&prove=true": "perdure:car",
		n.API() + "/metrics ": `perdure_kept_heights{part="state"}`,
	} {
		url = strings.TrimSpace(url)
		got := get(t, url)
		for try := 0; !strings.Contains(got, want) && try < 100; try++ { // counts and the engine's index follow the commit
			time.Sleep(20 * time.Millisecond)
			got = get(t, url)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s gives %s, want %q in it", url, got, want)
		}
	}
	client.Close()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Record(chain.GlobalKey()); !errors.Is(err, state.ErrClosed) && err != nil {
		t.Errorf("read after close: %v", err)
	}
	n, stop = run(t, Options{Home: home, Config: c})
	if got, err := n.Await(ctx, chain.Hash(in.Receipt.Hash)); err != nil || got.Height != in.Height {
		t.Errorf("receipt after a restart: %+v, %v", got, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return string(b)
}

// TestNeverRun closes a node that was opened only, and one whose API address is taken.
func TestNeverRun(t *testing.T) {
	home, c := newHome(t)
	n, err := New(Options{Home: home, Config: c})
	if err != nil {
		t.Fatal(err)
	}
	taken := *c
	taken.API = strings.TrimPrefix(n.API(), "http://")
	other, _ := newHome(t)
	if _, err := New(Options{Home: other, Config: &taken}); err == nil {
		t.Error("two nodes serve one address")
	}
	for range 2 {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEngineStops breaks the disk under a running node: Run returns an error.
func TestEngineStops(t *testing.T) {
	home, c := newHome(t)
	n, err := New(Options{Home: home, Config: c})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close() // its error is the broken disk
	done := make(chan error, 1)
	go func() { done <- n.Run(t.Context()) }()
	awaitIndex(t, n, 1) // which reads the state at first
	if err := n.Store().Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, state.ErrClosed) {
		t.Errorf("the node stops with %v, want %v", err, state.ErrClosed)
	}
}

// TestEnginePanics hears the engine's last words, and does not repeat them
// once the node is closing.
func TestEnginePanics(t *testing.T) {
	var lines strings.Builder
	n := &Node{failed: make(chan error, 1)}
	n.life, n.end = context.WithCancel(context.Background())
	l := engineLog{to: slog.New(slog.NewTextHandler(&lines, nil)), least: slog.LevelWarn, node: n}.With("part", 1)
	l.Info("nothing")
	l.Error("CONSENSUS FAILURE!!!", "err", "out of cheese")
	if err := <-n.failed; !strings.HasSuffix(err.Error(), ": out of cheese") {
		t.Errorf("failure is %v", err)
	}
	n.end()
	l.Error("CONSENSUS FAILURE!!!", "err", "gate is shut")
	if got := lines.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "cheese") {
		t.Errorf("log is %s", got)
	}
}

// TestUpdates follows a node's Updates and is told when it asks for too much.
func TestUpdates(t *testing.T) {
	home, c := newHome(t)
	n, stop := run(t, Options{Home: home, Config: c})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var heights []chain.Height
	enough := errors.New("enough")
	err := n.Updates(ctx, 0, func(raw []byte) error {
		var u consensus.Update
		if err := chain.Decode(raw, &u); err != nil {
			return err
		}
		if heights = append(heights, u.Height); len(heights) == 4 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || !slices.Equal(heights, []chain.Height{0, 1, 2, 3}) {
		t.Errorf("heights %v, %v", heights, err)
	}
	short, end := context.WithCancel(ctx)
	end()
	if err := n.Updates(short, 1<<40, func([]byte) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for the far future: %v", err)
	}
	if _, err := n.Await(short, chain.Hash{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for an unknown message: %v", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestConfig(t *testing.T) {
	home := t.TempDir()
	want := DefaultConfig()
	want.Moniker, want.Mempool.Count, want.Peers = "me", 7, []string{"id@host:1"}
	if err := want.Save(home); err != nil {
		t.Fatal(err)
	}
	got, err := LoadConfig(home)
	if err != nil || got.Moniker != "me" || got.limits().Count != 7 || !slices.Equal(got.Peers, want.Peers) ||
		got.limits().Bytes == 0 {
		t.Errorf("config is %+v, %v", got, err)
	}
	for text, hint := range map[string]string{
		"apii = \"x\"":          `"api"`,
		"[mempool]\ncuont = 1":  `"mempool.count"`,
		"engine_log = \"loud\"": "debug, info",
		"api = \"here\"":        "host:port",
		"api = 7":               "api",
		"= broken":              "line 1",
	} {
		if err := os.WriteFile(filepath.Join(home, configFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadConfig(home); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("config %q: %v, want a hint at %s", text, err, hint)
		}
	}
	if _, err := LoadConfig(filepath.Join(home, "none")); err == nil {
		t.Error("a config that is not there was read")
	}
}

// TestKeys keeps keys over a second Init and refuses broken files.
func TestKeys(t *testing.T) {
	home := t.TempDir()
	first, err := Init(home)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Init(home)
	if err != nil || again.NodeID != first.NodeID || string(again.ConsensusKey) != string(first.ConsensusKey) ||
		string(again.BeaconKey) != string(first.BeaconKey) {
		t.Fatalf("a second Init changed the keys: %v", err)
	}
	if err := consensus.VerifyBeaconKey(first.BeaconKey, first.BeaconProof); err != nil {
		t.Errorf("proof of possession: %v", err)
	}
	for _, path := range []string{nodeKeyPath(home), signKeyPath(home), signStatePath(home), beaconPath(home)} {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		for _, bad := range []string{"", "{", "[]", `{"priv_key":null}`} {
			if path == signStatePath(home) && strings.HasPrefix(bad, `{"`) {
				continue
			}
			if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadIdentity(home); err == nil {
				t.Errorf("%s of %q was read", path, bad)
			}
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGenesis refuses documents whose two halves disagree.
func TestGenesis(t *testing.T) {
	home, _ := newHome(t)
	good, err := os.ReadFile(genesisPath(home))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"votes":      {`"power": "1"`, `"power": "2"`},
		"name":       {`"chain_id": "node-test-1"`, `"chain_id": "node-test-2"`},
		"height":     {`"initial_height": "1"`, `"initial_height": "5"`},
		"extensions": {`"vote_extensions_enable_height": "1"`, `"vote_extensions_enable_height": "9"`},
		"limit":      {`"max_gas": "-1"`, `"max_gas": "1"`},
		"unknown":    {`"accounts"`, `"acounts"`},
	} {
		bad := strings.Replace(string(good), change[0], change[1], 1)
		if bad == string(good) {
			t.Fatalf("%s: nothing to change", name)
		}
		if err := SaveGenesis(home, []byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := SaveGenesis(home, good); err != nil {
		t.Error(err)
	}
}

// FuzzGenesis reads genesis documents: none panics.
func FuzzGenesis(f *testing.F) {
	f.Add([]byte(`{"chain_id":"x","initial_height":"1","app_state":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, g, err := ParseGenesis(b); err == nil && g.Params.ChainID == "" {
			t.Error("a chain without a name")
		}
	})
}

// TestEngineDB reads a database before and after it is closed.
func TestEngineDB(t *testing.T) {
	d := &engineDB{DB: dbm.NewMemDB()}
	if err := d.Set([]byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	if v, err := d.Get([]byte("k")); err != nil || string(v) != "v" {
		t.Errorf("open: %q, %v", v, err)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := d.Get([]byte("k")); err != nil || v != nil {
		t.Errorf("closed: %q, %v", v, err)
	}
	if ok, err := d.Has([]byte("k")); err != nil || ok {
		t.Errorf("closed: has is %v, %v", ok, err)
	}
}
