package hints

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
)

// Config is what a Follower is made of. Zero values take the defaults.
type Config struct {
	// Miners calls each with every miner on chain.
	Miners func(ctx context.Context, each func(*chain.Miner) error) error
	// Private allows doors on loopback and private addresses: for networks on one machine.
	Private bool
	// Every is how long a list counts as fresh, default a minute. A door that fails
	// is asked ever more seldom, down to once an hour.
	Every time.Duration
	// Roots bounds the weight of the table, default a million; MinerRoots what one miner
	// may put into it, default 100,000; MinerBytes what is read of its list, default 8 MiB.
	// See Table.
	Roots, MinerRoots int
	MinerBytes        int64
	Log               *slog.Logger // nil: none
}

// The bounds of one question.
const (
	dialTime   = 5 * time.Second
	askTime    = 30 * time.Second
	asksAtOnce = 8
	maxPause   = time.Hour
	maxDoors   = 2 // of one miner that are tried
)

func (c *Config) setDefaults() {
	if c.Every == 0 {
		c.Every = time.Minute
	}
	if c.Roots == 0 {
		c.Roots = 1_000_000
	}
	if c.MinerRoots == 0 {
		c.MinerRoots = 100_000
	}
	if c.MinerBytes == 0 {
		c.MinerBytes = 8 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Follower asks the doors of miners what is in their pieces.
type Follower struct {
	cfg   Config
	table *Table
	http  *http.Client
	doors map[chain.MinerID]*door
}

// door is what is remembered of a miner's door.
type door struct {
	urls  []string
	etag  string
	due   time.Time
	fails int
}

// NewFollower makes a follower with an empty table.
func NewFollower(c Config) *Follower {
	c.setDefaults()
	return &Follower{cfg: c, table: NewTable(c.Roots), doors: map[chain.MinerID]*door{}, http: &http.Client{
		Timeout:       askTime,
		Transport:     &http.Transport{DialContext: dialer(c.Private), ResponseHeaderTimeout: askTime / 3, TLSHandshakeTimeout: dialTime, MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Table is what was heard so far.
func (f *Follower) Table() *Table { return f.table }

// Run asks again and again until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	tick := time.NewTicker(max(f.cfg.Every/4, time.Second))
	defer tick.Stop()
	for {
		if err := f.Look(ctx); err != nil && ctx.Err() == nil {
			f.cfg.Log.Warn("ask miners for their contents", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Look asks every door that is due, and returns when all have answered or failed.
// One call at a time.
func (f *Follower) Look(ctx context.Context) error {
	seen := map[chain.MinerID]bool{}
	var due []chain.MinerID
	now := time.Now()
	err := f.cfg.Miners(ctx, func(m *chain.Miner) error {
		urls := Doors(m.Peer)
		if len(urls) == 0 {
			return nil
		}
		seen[m.ID] = true
		if old := f.doors[m.ID]; old == nil || !slices.Equal(old.urls, urls) {
			f.doors[m.ID] = &door{urls: urls}
		}
		if !now.Before(f.doors[m.ID].due) {
			due = append(due, m.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for m := range f.doors {
		if !seen[m] {
			delete(f.doors, m)
		}
	}
	f.table.keep(func(m chain.MinerID) bool { return seen[m] })
	var all sync.WaitGroup
	slots := make(chan struct{}, asksAtOnce)
	for _, m := range due {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			f.visit(ctx, m, f.doors[m])
		})
	}
	all.Wait()
	return ctx.Err()
}

// visit asks one miner. What it said before stands while it does not answer.
func (f *Follower) visit(ctx context.Context, m chain.MinerID, d *door) {
	var errs []error
	for _, url := range d.urls[:min(len(d.urls), maxDoors)] {
		err := f.ask(ctx, m, d, url)
		if err == nil {
			d.fails, d.due = 0, time.Now().Add(f.cfg.Every)
			return
		}
		errs = append(errs, err)
	}
	d.fails++
	d.due = time.Now().Add(min(f.cfg.Every<<min(d.fails, 12), maxPause))
	if ctx.Err() == nil {
		f.cfg.Log.Debug("a miner's door does not say what is in its pieces", "miner", m, "err", errors.Join(errs...))
	}
}

// ask reads a list, unless it is as it was.
func (f *Follower) ask(ctx context.Context, m chain.MinerID, d *door, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+Path, nil)
	if err != nil {
		return err
	}
	if d.etag != "" {
		req.Header.Set("If-None-Match", d.etag)
	}
	resp, err := f.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotModified:
		return nil
	default:
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	said, err := read(io.LimitReader(resp.Body, f.cfg.MinerBytes), f.cfg.MinerRoots)
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	f.table.set(m, said)
	d.etag = ""
	if tag := resp.Header.Get("ETag"); len(tag) <= 128 {
		d.etag = tag
	}
	return nil
}

// read takes lines up to a weight, or until the list was cut.
func read(r io.Reader, most int) ([]claim, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, MaxLine)
	var out []claim
	for roots := 0; roots < most && lines.Scan(); {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var line Line
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			if lines.Scan() {
				return nil, fmt.Errorf("line %d: %w", len(out)+1, err)
			}
			break // cut off at the bound
		}
		piece, err := cid.Decode(line.Piece)
		if err != nil || piece.Prefix().Codec != cid.FilCommitmentUnsealed {
			return nil, fmt.Errorf("line %d: %.80q is no piece CID", len(out)+1, line.Piece)
		}
		c := claim{piece: piece}
		for _, text := range line.Roots[:min(len(line.Roots), most-roots)] {
			root, err := cid.Decode(text)
			if err != nil {
				return nil, fmt.Errorf("line %d: root %.80q: %w", len(out)+1, text, err)
			}
			c.roots = append(c.roots, prefix(root))
		}
		slices.Sort(c.roots)
		c.roots = slices.Clip(slices.Compact(c.roots))
		roots += c.weight()
		out = append(out, c)
	}
	return out, lines.Err()
}
