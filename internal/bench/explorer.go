package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/chain/node"
	"github.com/perdure/perdure/internal/bench/scale"
)

// ExplorerConfig says what of the explorer is measured.
type ExplorerConfig struct {
	Config            // Dir stays: the big chain in it is made once
	Size   scale.Size // of the big chain

	Process []string // command line of a process that runs RunExplorerChild
	Export  []string // command line of the command that exports, without its flags
	Parts   []string // of ExplorerParts; none: all

	Time      time.Duration // of each measurement under load
	Callers   int           // at once
	Messages  int           // of a block
	Blocks    int           // that an index follows a round, and from whose Updates one is rebuilt
	Listeners int           // to a node's stream of events
}

type explorerBench struct {
	ExplorerConfig
	notes []string
}

// explorerPart is one part of the benchmark.
type explorerPart struct {
	name string
	run  func(*explorerBench, context.Context) ([]Row, error)
}

var explorerParts = []explorerPart{
	{"follow", (*explorerBench).following},
	{"rebuild", (*explorerBench).rebuilding},
	{"routes", (*explorerBench).answers},
	{"latest", (*explorerBench).latest},
	{"live", (*explorerBench).live},
	{"export", (*explorerBench).exports},
}

// ExplorerParts are the names of the parts, in their order.
func ExplorerParts() (names []string) {
	for _, p := range explorerParts {
		names = append(names, p.name)
	}
	return names
}

// Explorer measures the explorer over a big chain and beside the engine's own
// RPC; notes say what it left out, and why. A part that fails does not keep the
// others from being measured: its error comes with the rows of those.
func Explorer(ctx context.Context, c ExplorerConfig) (rows []Row, notes []string, err error) {
	e := &explorerBench{ExplorerConfig: c}
	for _, name := range c.Parts {
		if !slices.Contains(ExplorerParts(), name) {
			return nil, nil, fmt.Errorf("part %q: want %s", name, strings.Join(ExplorerParts(), ", "))
		}
	}
	node.TuneProcess() // blocks are executed and indexed in this process as in a node's
	for _, p := range explorerParts {
		if len(c.Parts) > 0 && !slices.Contains(c.Parts, p.name) {
			continue
		}
		found, failed := p.run(e, ctx)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", p.name, failed))
		}
		rows = append(rows, found...)
		if ctx.Err() != nil {
			break
		}
	}
	return rows, e.notes, err
}

// dir is a directory of the benchmark's.
func (e *explorerBench) dir(name string) string { return filepath.Join(e.Dir, name) }

// serve starts a process that serves the big chain, with blocks of so many messages coming.
func (e *explorerBench) serve(messages int) (*child, *serverOpen, error) {
	p, err := startChild(e.Process, nil, &childConfig{Server: &serverConfig{e.dir("chain"), e.Size, messages}})
	if err != nil {
		return nil, nil, err
	}
	open := new(serverOpen)
	if err := p.read(open); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start the server: %w", err), p.close())
	}
	return p, open, nil
}

// answers measures how quickly the lists and details of a big chain are answered.
func (e *explorerBench) answers(ctx context.Context) (rows []Row, err error) {
	server, open, err := e.serve(e.Messages)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	routes, refused, err := answering(ctx, open.URL, routesOf(open.Names))
	if err != nil {
		return nil, err
	}
	e.notes = append(append(e.notes, leftOut()...), refused...)
	e.Log("%d routes, %d callers at once", len(routes), e.Callers)
	server.fresh()
	load := &loadConfig{URL: open.URL, Callers: e.Callers, Warm: e.Time / 5, Time: e.Time, Routes: routes, Seed: uint64(time.Now().UnixNano())}
	used := server.processor()
	var asked loadReport
	if err := askChild(e.Process, &childConfig{Load: load}, &asked); err != nil {
		return nil, err
	}
	used = server.processor() - used
	return append(answerRows(&asked, e.Time), asked.share("the server, its blocks included", used), asked.share("the callers", asked.Processor),
		plain("resident at most, the server of these answers", "MiB", mebibytes(server.memory()))), nil
}

func mebibytes(bytes uint64) float64 { return float64(bytes) / (1 << 20) }

// answerRows has a row for each route and one for all: the 99th percentile, with
// the median as the least and the slowest as the most.
func answerRows(asked *loadReport, spent time.Duration) (rows []Row) {
	ms := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	answers, worst := 0, routeReport{}
	for _, l := range asked.Routes {
		answers += l.Answers
		if l.P99 > worst.P99 {
			worst = l
		}
		name := l.Name
		if l.Refused > 0 {
			name += fmt.Sprintf(" (%d of %d refused)", l.Refused, l.Answers)
		}
		rows = append(rows, Row{Name: "answer: " + name, Unit: "ms p99 (p50-most)", Figure: Figure{ms(l.P99), ms(l.Median), ms(l.Most)}})
	}
	return append(rows, Row{Name: "slowest route: " + worst.Name, Unit: "ms p99 (p50-most)", Figure: Figure{ms(worst.P99), ms(worst.Median), ms(worst.Most)}},
		plain("answers, all routes", "/s", float64(answers)/spent.Seconds()))
}

// node starts a process that is a whole node. On one core it is held there by
// taskset, if that is found, and by the runtime.
func (e *explorerBench) node(messages int, oneCore bool) (*child, *nodeOpen, error) {
	command, env := e.Process, []string(nil)
	if oneCore {
		env = []string{"GOMAXPROCS=1"}
		if taskset, err := exec.LookPath("taskset"); err == nil {
			command = append([]string{taskset, "-c", "0"}, command...)
		}
	}
	if err := os.MkdirAll(e.Dir, 0o755); err != nil {
		return nil, nil, err
	}
	p, err := startChild(command, env, &childConfig{Node: &nodeConfig{Dir: e.Dir, Messages: messages}})
	if err != nil {
		return nil, nil, err
	}
	open := new(nodeOpen)
	if err := p.read(open); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start the node: %w", err), p.close())
	}
	return p, open, nil
}

// heights asks a node when it had which heights.
func (p *child) heights() (at stamps, err error) {
	if _, err := p.in.Write([]byte("\n")); err != nil {
		return nil, err
	}
	return at, p.read(&at)
}

// grown waits until a node has made so many blocks.
func (p *child) grown(ctx context.Context, blocks int) error {
	for {
		at, err := p.heights()
		if err != nil || len(at) >= blocks {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// latest measures how many requests for the newest block one core answers, the
// explorer's API and the engine's RPC by turns.
func (e *explorerBench) latest(ctx context.Context) (rows []Row, err error) {
	node, open, err := e.node(e.Messages, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, node.close()) }()
	if err := node.grown(ctx, 5); err != nil {
		return nil, err
	}
	var times [2][]float64
	for n := range e.Rounds {
		e.Log("requests for the newest block: %d of %d", n+1, e.Rounds)
		for i, of := range []struct{ url, path string }{{open.API, "/v1/blocks/latest"}, {open.RPC, "/block"}} {
			var asked loadReport
			load := &loadConfig{URL: of.url, Callers: 16, Warm: e.Time / 10, Time: e.Time / 2, Routes: []loadRoute{{of.path, []string{of.path}}}}
			if err := askChild(e.Process, &childConfig{Load: load}, &asked); err != nil {
				return nil, err
			}
			if l := asked.Routes[0]; l.Answers == 0 || l.Refused > 0 {
				return nil, fmt.Errorf("%s: %d of %d answers were refused", of.path, l.Refused, l.Answers)
			}
			times[i] = append(times[i], float64(load.Time.Nanoseconds())/float64(asked.Routes[0].Answers))
		}
	}
	return []Row{versus("/v1/blocks/latest, one core", "/s", "CometBFT's /block", times, perSecond)}, nil
}

// streams are the ways to listen to a node.
var streams = []struct {
	name, path string
	socket     bool
}{{"server-sent events", "/v1/events/stream", false}, {"WebSockets", "/v1/live", true}}

// live measures how soon many listeners hear what a block did, of each way on a
// node of its own.
func (e *explorerBench) live(ctx context.Context) (rows []Row, err error) {
	for _, of := range streams {
		e.Log("%d listeners: %s", e.Listeners, of.name)
		c := &listenConfig{URL: of.path + "?topics=block,message", Socket: of.socket, Listeners: e.Listeners, Time: 2 * e.Time}
		late, memory, err := e.listened(ctx, c)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", of.name, err)
		}
		rows = append(rows, Row{Name: fmt.Sprintf("last of %d listeners has heard all of a block: %s", e.Listeners, of.name), Unit: "ms", Figure: figure(late)},
			plain("blocks that they heard of, each frame once: "+of.name, "", float64(len(late))),
			plain("resident at most, the whole node: "+of.name, "MiB", mebibytes(memory)))
	}
	return rows, nil
}

// listened has listeners hear of the blocks of a new node. The URL is as yet the
// path on it.
func (e *explorerBench) listened(ctx context.Context, c *listenConfig) (late []float64, memory uint64, err error) {
	node, open, err := e.node(min(e.Messages, 20), false)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, node.close()) }()
	if err := node.grown(ctx, 3); err != nil {
		return nil, 0, err
	}
	c.URL = open.API + c.URL
	var all []heard
	if err := askChild(e.Process, &childConfig{Listen: c}, &all); err != nil {
		return nil, 0, err
	}
	at, err := node.heights()
	if err != nil {
		return nil, 0, err
	}
	late, err = lateness(all, at, c.Listeners)
	return late, node.memory(), err
}
