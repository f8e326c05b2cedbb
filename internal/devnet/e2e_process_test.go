package devnet

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/node"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/daemon"
	"github.com/perdure/perdure/miner/sector"
)

// town is a network of separate processes, made with the commands that people type.
type town struct {
	t       *testing.T
	ctx     context.Context
	dir     string
	binary  string
	rewards []string // by validator: who speaks for it and gets its rewards; none: the first account
	apis    []string // by node
	rpcs    []string
	nodes   []*process
	miners  []*process

	amend    func(*consensus.Params) // changes devnet's parameters; nil: it does not
	patience time.Duration           // for one thing that is waited for; 0: as long as the test may take
}

// site is where a node lives: an address, and what its command line begins
// with. The zero site is this host's loopback, with free ports.
type site struct {
	ip   string
	wrap []string
}

// addresses are the host:port of the API, JSON-RPC and peers of a node there.
func (s site) addresses(t *testing.T) (out [3]string) {
	t.Helper()
	for j, port := range []string{"26660", "26657", "26656"} {
		if out[j] = s.ip + ":" + port; s.ip != "" {
			continue
		}
		var err error
		if out[j], err = freePort(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// process is a running command that is killed at the test's end.
type process struct {
	name string
	args []string
	wrap []string // command that runs the command
	env  []string // beside the test's own
	cmd  *exec.Cmd
	done chan error
}

func freePort() (string, error) {
	l, err := node.ListenSpare("127.0.0.1")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// townChain is the ID of a town's chain.
const townChain = "town-1"

// townTime is what most towns may take.
const townTime = 9 * time.Minute

// newTown builds the binary. The time that the town may take is counted from then on.
func newTown(t *testing.T) *town {
	t.Helper()
	return newTownFor(t, townTime)
}

// newTownFor is newTown with another bound on its time.
func newTownFor(t *testing.T, most time.Duration) *town {
	t.Helper()
	dir := t.TempDir()
	w := &town{t: t, dir: dir, binary: filepath.Join(dir, "perdure")}
	begun := time.Now()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", w.binary, "./cmd/perdure")
	build.Dir, build.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	t.Logf("built in %.1f s", time.Since(begun).Seconds())
	ctx, cancel := context.WithTimeout(t.Context(), most)
	t.Cleanup(cancel)
	w.ctx = ctx
	return w
}

func (w *town) home(name string) string { return filepath.Join(w.dir, name) }

func (w *town) command(ctx context.Context, args ...string) *exec.Cmd {
	return w.wrapped(ctx, nil, args...)
}

// wrapped is a command that another one runs.
func (w *town) wrapped(ctx context.Context, wrap []string, args ...string) *exec.Cmd {
	line := append(append(wrap[:len(wrap):len(wrap)], w.binary), args...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "PERDURE_PASSPHRASE="+Passphrase, "PERDURE_HOME=", "PERDURE_NODE=")
	return cmd
}

// run runs a command to its end and decodes its JSON into out.
func (w *town) run(out any, args ...string) {
	w.t.Helper()
	begun := time.Now()
	defer func() { w.t.Logf("perdure %s %s: %.1f s", args[0], args[1], time.Since(begun).Seconds()) }()
	var stdout, stderr bytes.Buffer
	cmd := w.command(w.ctx, append(args, "--json", "--yes")...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("perdure %s: %v\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
		w.t.Fatalf("perdure %s wrote %q: %v", strings.Join(args, " "), stdout.String(), err)
	}
}

// start runs a command until it is killed. Its output goes to a file.
func (w *town) start(name string, args ...string) *process {
	w.t.Helper()
	return w.startAt(site{}, name, args...)
}

func (w *town) startAt(at site, name string, args ...string) *process {
	w.t.Helper()
	p := &process{name: name, args: args, wrap: at.wrap}
	w.t.Cleanup(func() {
		p.kill()
		if w.t.Failed() {
			out, _ := os.ReadFile(w.home(name + ".log"))
			w.t.Logf("the end of %s's log:\n%s", name, out[max(0, len(out)-4_000):])
		}
	})
	w.restart(p)
	return p
}

func (w *town) restart(p *process) {
	w.t.Helper()
	log, err := os.OpenFile(w.home(p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	p.cmd, p.done = w.wrapped(context.Background(), p.wrap, p.args...), make(chan error, 1)
	p.cmd.Env = append(p.cmd.Env, p.env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, done chan error) { done <- cmd.Wait() }(p.cmd, p.done)
}

// kill is kill -9.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
	p.cmd = nil
}

// ended reports whether the command ended by itself.
func (p *process) ended() bool {
	select {
	case err := <-p.done:
		p.done <- err
		return true
	default:
		return false
	}
}

// newWallet makes a key in a home and returns its address.
func (w *town) newWallet(name string) string {
	w.t.Helper()
	var made struct{ Address string }
	w.run(&made, "wallet", "new", "--home", w.home(name))
	return made.Address
}

// startNodes makes and runs a chain of n validators on which the accounts have money.
func (w *town) startNodes(n int, accounts ...string) {
	w.t.Helper()
	w.startNodesAt(make([]site, n), accounts...)
}

// startNodesAt is startNodes with a validator at each site.
func (w *town) startNodesAt(sites []site, accounts ...string) {
	w.t.Helper()
	genesis := w.home("genesis.json")
	args := []string{"node", "genesis", "--network", "devnet", "--chain-id", townChain, "-o", genesis}
	for _, a := range accounts {
		args = append(args, "--account", a+"=1000000PDR")
	}
	for i, at := range sites {
		home, ports := w.home(fmt.Sprintf("node%d", i)), at.addresses(w.t)
		w.run(nil, "node", "init", "--home", home, "--api", ports[0], "--rpc", ports[1], "--p2p", ports[2], "--local-peers",
			"--reward", w.rewardOf(i, accounts[0]))
		args = append(args, filepath.Join(home, "validator.json"))
		w.apis, w.rpcs = append(w.apis, "http://"+ports[0]), append(w.rpcs, "http://"+ports[1])
	}
	var made struct{ Peers []string }
	w.run(&made, args...)
	w.amendGenesis(genesis)
	for i, at := range sites {
		name := fmt.Sprintf("node%d", i)
		w.run(nil, "node", "init", "--home", w.home(name), "--genesis", genesis, "--peers", strings.Join(made.Peers, ","))
		w.talkative(name)
		w.nodes = append(w.nodes, w.startAt(at, name, "node", "run", "--home", w.home(name)))
	}
	for i := range sites {
		w.reach(i, 2)
	}
}

// amendGenesis gives a genesis document the town's parameters.
func (w *town) amendGenesis(path string) {
	w.t.Helper()
	if w.amend == nil {
		return
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	doc, g, err := node.ParseGenesis(raw)
	if err != nil {
		w.t.Fatal(err)
	}
	w.amend(&g.Params)
	if raw, err = node.MakeGenesis(g, doc.GenesisTime); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) rewardOf(validator int, fallback string) string {
	if len(w.rewards) == 0 {
		return fallback
	}
	return w.rewards[validator]
}

// every is how often other processes are looked at.
const every = 50 * time.Millisecond

// await looks until cond holds.
func (w *town) await(what string, cond func() bool) {
	w.t.Helper()
	begun, ctx := time.Now(), w.ctx
	if w.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.patience)
		defer cancel()
	}
	for !cond() {
		if ctx.Err() != nil {
			w.testify()
			w.t.Fatalf("waiting for %s: %v", what, ctx.Err())
		}
		time.Sleep(every)
	}
	w.t.Logf("%s after %.1f s", what, time.Since(begun).Seconds())
}

// height is how far a node is, 0 if it does not answer.
func (w *town) height(i int) chain.Height {
	c := rpc.New(w.apis[i])
	defer c.Close()
	g, err := c.Global(w.ctx)
	if err != nil {
		return 0
	}
	return g.Height
}

func (w *town) reach(i int, h chain.Height) {
	w.t.Helper()
	w.await(fmt.Sprintf("node %d at height %d", i, h), func() bool { return w.height(i) >= h })
}

// asker does not wait for ever for a node that hangs.
var asker = http.Client{Timeout: 20 * time.Second}

// get reads JSON; false if nobody answers.
func get(url string, into any) bool {
	resp, err := asker.Get(url)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into) == nil
}

// appHash is what a node's block at a height says of the state before it.
func (w *town) appHash(i int, h chain.Height) string {
	var answer struct {
		Result struct {
			SignedHeader struct {
				Header struct {
					AppHash string `json:"app_hash"`
				}
			} `json:"signed_header"`
		}
	}
	get(fmt.Sprintf("%s/commit?height=%d", w.rpcs[i], h), &answer)
	return answer.Result.SignedHeader.Header.AppHash
}

// sameHashes compares the app hashes of all nodes up to a height.
func (w *town) sameHashes(upTo chain.Height) {
	w.t.Helper()
	for h := chain.Height(1); h <= upTo; h++ {
		first := w.appHash(0, h)
		for i := range w.nodes {
			if got := w.appHash(i, h); got == "" || got != first {
				w.t.Errorf("height %d: node %d has app hash %q, node 0 %q", h, i, got, first)
			}
		}
	}
}

// startMiner makes a miner of its own owner and runs it.
func (w *town) startMiner(i int) {
	w.t.Helper()
	name, node := fmt.Sprintf("miner%d", i), w.apis[i%len(w.apis)]
	w.run(nil, "miner", "init", "--home", w.home(name), "--wallet", w.home(fmt.Sprintf("owner%d", i)), "--node", node,
		"--sector-size", "8MiB", "--capacity", "64MiB", "--fund", "1000PDR")
	w.miners = append(w.miners, w.start(name, "miner", "run", "--home", w.home(name)))
}

// ask reads JSON of a miner's own API; false while it does not answer.
func (w *town) ask(i int, path string, into any) bool {
	info, err := daemon.ReadInfo(w.home(fmt.Sprintf("miner%d", i)))
	return err == nil && get(info.API+path, into)
}

// sectorIn reports whether a miner has a sector in a state.
func (w *town) sectorIn(i int, state sector.State) bool {
	var all struct{ Items []*miner.Sector }
	w.ask(i, "/v1/sectors", &all)
	for _, s := range all.Items {
		if s.State == state {
			return true
		}
	}
	return false
}

// TestE2EProcesses is the network as people run it: four validators, three
// miners and a client, each a process. One validator, a miner that fetches and
// one that seals are killed (SIGKILL) and started again: it catches up, they
// finish; every copy is proven; the file comes back paid chunk by chunk; all
// nodes have the same app hashes.
func TestE2EProcesses(t *testing.T) {
	endToEnd(t)
	w := newTown(t)
	names := []string{"client", "owner0", "owner1", "owner2"}
	var accounts []string
	for _, name := range names {
		accounts = append(accounts, w.newWallet(name))
	}
	w.startNodes(4, accounts...)
	for i := range 3 {
		w.startMiner(i)
	}
	node := rpc.New(w.apis[0])
	defer node.Close()
	w.await("three asks", func() bool {
		offers, err := offers(w.ctx, node)
		return err == nil && len(offers) == 3
	})

	content := make([]byte, 4<<20)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	path := w.home("content")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var put struct {
		RootCID string
		State   string
	}
	w.run(&put, "put", path, "--copies", "3", "--no-wait", "--home", w.home("client"), "--node", w.apis[0])
	t.Logf("put %s: %s", put.RootCID, put.State)

	w.nodes[3].kill()
	t.Log("validator 3 killed")
	server := w.start("client", "client", "run", "--home", w.home("client"), "--node", w.apis[1])
	w.killFetching(1)
	w.await("miner 2 seals", func() bool { return w.sectorIn(2, sector.Packed) })
	w.miners[2].kill()
	t.Log("miner 2 killed while it sealed")
	w.restart(w.miners[2])
	w.restart(w.nodes[3])

	var deals []chain.Deal
	w.await("every copy active", func() bool {
		deals = deals[:0]
		for id := uint64(1); id <= 3; id++ {
			var d chain.Deal
			if ok, err := node.Record(w.ctx, chain.DealKey(id), &d); err != nil || !ok || d.State != chain.DealActive {
				return false
			}
			deals = append(deals, d)
		}
		return true
	})
	w.await("every copy proven in a window", func() bool {
		for i := range deals {
			if !w.provenOnce(node, &deals[i]) {
				return false
			}
		}
		return true
	})
	server.kill()
	w.fetch(put.RootCID, content, node)
	h := w.height(0)
	w.reach(3, h)
	w.sameHashes(h)
}

// killFetching kills a miner in the middle of fetching a piece and starts it again.
func (w *town) killFetching(i int) {
	w.t.Helper()
	name := fmt.Sprintf("miner%d", i)
	for {
		parts, err := filepath.Glob(filepath.Join(w.home(name), "pieces", "*.part"))
		if err != nil {
			w.t.Fatal(err)
		}
		if len(parts) > 0 {
			break
		}
		if w.sectorIn(i, sector.Packed) || w.ctx.Err() != nil {
			w.t.Fatalf("%s was not seen fetching", name)
		}
		time.Sleep(time.Millisecond)
	}
	w.miners[i].kill()
	w.t.Logf("%s killed while it fetched", name)
	w.restart(w.miners[i])
}

// provenOnce reports whether a window proof covers a deal's sector.
func (w *town) provenOnce(node *rpc.Client, d *chain.Deal) bool {
	var sec chain.Sector
	var part chain.Partition
	if ok, err := node.Record(w.ctx, chain.SectorKey(d.Miner, d.Sector), &sec); err != nil || !ok {
		return false
	}
	ok, err := node.Record(w.ctx, chain.PartitionKey(d.Miner, sec.Deadline, sec.Partition), &part)
	return err == nil && ok && part.ProvenThrough > sec.Activated
}

// fetch gets the content back and waits until the sellers have redeemed what was paid.
func (w *town) fetch(root string, content []byte, node *rpc.Client) {
	w.t.Helper()
	var got struct {
		SHA256     string
		Chunks     uint64
		ChunkPrice chain.Amount
		Paid       chain.Amount
	}
	w.run(&got, "get", root, "-o", w.home("copy"), "--home", w.home("client"), "--node", w.apis[3])
	sum := sha256.Sum256(content)
	copied, err := os.ReadFile(w.home("copy"))
	if err != nil || !bytes.Equal(copied, content) || got.SHA256 != hex.EncodeToString(sum[:]) {
		w.t.Errorf("fetched %d bytes with SHA-256 %s, %v", len(copied), got.SHA256, err)
	}
	if want, err := got.ChunkPrice.Mul(got.Chunks); err != nil || want != got.Paid || want.IsZero() {
		w.t.Errorf("%d chunks at %s cost %s, %v", got.Chunks, got.ChunkPrice, got.Paid, err)
	}
	w.await("redeemed", func() bool {
		var sum chain.Amount
		for id := uint64(1); ; id++ {
			var c chain.Channel
			ok, err := node.Record(w.ctx, chain.ChannelKey(id), &c)
			if err != nil || !ok {
				break
			}
			if sum, err = sum.Add(c.Redeemed); err != nil {
				w.t.Fatal(err)
			}
		}
		return sum == got.Paid
	})
}
