package devnet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
)

// killings is how often TestE2EKilledLive kills the node.
const killings = 100

// liveTime is what a town may take whose node is killed so often.
const liveTime = 30 * time.Minute

// told is one frame as a reader has it.
type told struct {
	Cursor string          `json:"cursor"`
	Topic  string          `json:"topic"`
	Type   string          `json:"type"`
	Height chain.Height    `json:"height"`
	Data   json.RawMessage `json:"data"`
}

// follower reads everything that a node tells, and comes back with its last
// cursor whenever the node was away.
type follower struct {
	t      *testing.T
	url    string
	cursor string

	mu     sync.Mutex
	frames []told
	visits int
}

// run reads until ctx ends.
func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := f.visit(ctx); err != nil && ctx.Err() == nil {
			f.t.Errorf("follower: %v", err)
			return
		}
		time.Sleep(every)
	}
}

// visit reads one stream to its end; an error is one that no kill excuses.
func (f *follower) visit(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/v1/events/stream?topics=block,message,event,trades,book", nil)
	if err != nil {
		return err
	}
	if f.cursor == "" {
		req.URL.RawQuery += "&from=1"
	} else {
		req.Header.Set("Last-Event-ID", f.cursor)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil // it is away
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusServiceUnavailable {
		return nil // it is not yet there
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	if resp.StatusCode != http.StatusOK {
		lines.Scan()
		return fmt.Errorf("%s: %s", resp.Status, lines.Text())
	}
	f.mu.Lock()
	f.visits++
	f.mu.Unlock()
	event := ""
	for whole := []byte(nil); lines.Scan(); {
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "event":
			event = value
		case "data":
			whole = []byte(value)
		case "": // the event is there whole
			if event == "close" {
				return closedBy(whole)
			}
			if event == "" && whole != nil {
				if err := f.take(whole); err != nil {
					return err
				}
			}
			event, whole = "", nil
		}
	}
	return nil
}

// closedBy is an error unless the node ended the stream because it stops.
func closedBy(goodbye []byte) error {
	var why struct {
		Code   int
		Reason string
	}
	if err := json.Unmarshal(goodbye, &why); err != nil {
		return err
	}
	if why.Code != 1001 {
		return fmt.Errorf("the node ended the stream: %d %s", why.Code, why.Reason)
	}
	return nil
}

func (f *follower) take(raw []byte) error {
	var one told
	if err := json.Unmarshal(raw, &one); err != nil {
		return fmt.Errorf("frame %q: %w", raw, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frames, f.cursor = append(f.frames, one), one.Cursor
	return nil
}

// reached is the height of the last block that was told whole.
func (f *follower) reached() chain.Height {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.frames) == 0 {
		return 0
	}
	return f.frames[len(f.frames)-1].Height - 1
}

// TestE2EKilledLive kills one of two validators a hundred times while blocks
// come, at any moment, and a reader of its stream comes back with its cursor. In
// the end the index has neither gap nor double, the reader has seen each frame
// once, and the other validator tells the same. PERDURE_E2E_KILLS is another number of kills.
func TestE2EKilledLive(t *testing.T) {
	endToEnd(t)
	kills := killings
	if s := os.Getenv("PERDURE_E2E_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatalf("PERDURE_E2E_KILLS is %q: %v", s, err)
		}
	}
	w := newTownFor(t, liveTime)
	w.patience = crashPatience
	client, friend := w.newWallet("client"), w.newWallet("friend")
	w.startNodes(2, client, friend)
	p := w.nodes[1]
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	f := &follower{t: t, url: w.apis[1]}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { f.run(ctx) })
	running.Go(func() { w.pay(ctx, "client", friend) })
	moment := rand.New(rand.NewPCG(1, uint64(kills)))
	for i := range kills {
		before := w.height(0)
		w.reach(1, before+1)
		time.Sleep(time.Duration(moment.IntN(400)) * time.Millisecond) // anywhere in the making of a block
		p.kill()
		w.restart(p)
		if (i+1)%10 == 0 {
			t.Logf("killed %d times, at height %d, %d frames read", i+1, before, len(f.copyFrames()))
		}
	}
	last := w.height(0) + 2
	w.reach(1, last)
	w.await("the reader at the head", func() bool { return f.reached() >= last })
	w.indexIsSound(1)
	cancel()
	running.Wait()
	f.judge(w.apis[0], last)
	w.sameHashes(last)
	if f.visits < kills {
		t.Errorf("the reader came back %d times after %d kills", f.visits, kills)
	}
}

// pay sends transfers by the first node, so that blocks have something to tell.
func (w *town) pay(ctx context.Context, from, to string) {
	for ctx.Err() == nil {
		cmd := w.command(ctx, "wallet", "send", to, "1PDR", "--home", w.home(from), "--node", w.apis[0], "--json", "--yes")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil && ctx.Err() == nil {
			w.t.Logf("a transfer did not land: %v: %s", err, stderr.String()) // while the chain stands it may not
		}
	}
}

// indexIsSound has a node check its index, which ends the test unless it is whole.
func (w *town) indexIsSound(i int) {
	w.t.Helper()
	w.run(nil, "index", "check", "--home", w.home(fmt.Sprintf("node%d", i)), "--node", w.apis[i])
}

func (f *follower) copyFrames() []told {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]told(nil), f.frames...)
}

// judge holds what was read up to a height against what another node tells of
// the same blocks.
func (f *follower) judge(other string, upTo chain.Height) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), crashPatience)
	defer cancel()
	g := &follower{t: f.t, url: other}
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.run(ctx)
	}()
	for g.reached() < upTo && ctx.Err() == nil {
		time.Sleep(every)
	}
	cancel()
	<-done
	got, want := f.upTo(upTo), g.upTo(upTo)
	if len(want) < int(upTo) {
		f.t.Fatalf("the other node tells %d frames up to height %d", len(want), upTo)
	}
	for i := range min(len(got), len(want)) {
		if got[i].Cursor != want[i].Cursor || got[i].Type != want[i].Type || !bytes.Equal(got[i].Data, want[i].Data) {
			f.t.Fatalf("frame %d is %s %s of height %d, want %s %s of height %d", i, got[i].Type, got[i].Data, got[i].Height,
				want[i].Type, want[i].Data, want[i].Height)
		}
	}
	if len(got) != len(want) {
		f.t.Errorf("%d frames up to height %d, want %d", len(got), upTo, len(want))
	}
	f.t.Logf("%d frames up to height %d, each once, over %d streams", len(got), upTo, f.visits)
}

func (f *follower) upTo(h chain.Height) (out []told) {
	for _, one := range f.copyFrames() {
		if one.Height <= h {
			out = append(out, one)
		}
	}
	return out
}
