package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/link"
	"github.com/perdure/perdure/client/pack"
)

// Share makes the link by which somebody else can get a payload that this home knows.
// Of private content it holds the key: who has the link can read it, now and later.
func (c *Client) Share(ctx context.Context, root cid.Cid) (link.Link, error) {
	o, err := c.objectOf(ctx, root)
	if err == nil && o == nil {
		err = files.ErrNoRecord
	}
	if err == nil && o.Kind == files.KindBatch {
		err = fmt.Errorf("it is a piece that several contents share: name one of them")
	}
	if err != nil {
		return link.Link{}, fmt.Errorf("share %s: %w", root, err)
	}
	l := linkOf(o, root)
	if err := l.Validate(); err != nil { // a name that is none everywhere is left out
		l.Name = ""
	}
	return l, nil
}

func linkOf(o *files.Object, root cid.Cid) link.Link {
	l := link.Link{Root: root, Name: o.Name, Kind: o.Kind, Key: o.Key}
	if len(o.Pieces) > 0 {
		l.Bid = o.Pieces[0].Bid.Order
	}
	return l
}

// ErrSeveral is wrapped for a name under which several contents were stored.
var ErrSeveral = errors.New("several contents have this name: give the root of one")

// Find returns the root of what this home knows by a root or by the name under which
// it was stored. A name of several contents is [ErrSeveral].
func (c *Client) Find(ctx context.Context, name string) (cid.Cid, error) {
	if root, err := ParseRoot(name); err == nil {
		return root, nil
	}
	all, err := c.records.Objects(ctx)
	if err != nil {
		return cid.Undef, err
	}
	var found *files.Object
	for _, o := range all {
		if o.Name != name || o.Kind == files.KindBatch {
			continue
		}
		if found != nil && found.Root != o.Root {
			return cid.Undef, fmt.Errorf("%q: %w", name, ErrSeveral)
		}
		found = o
	}
	if found == nil {
		return cid.Undef, fmt.Errorf("%q: %w", name, files.ErrNoRecord)
	}
	return found.RootCID()
}

// Import remembers what a link says: where the payload is and what opens it. A link
// to what this home knows already changes nothing.
func (c *Client) Import(ctx context.Context, l link.Link) error {
	if err := l.Validate(); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	known, err := c.records.OfRoot(ctx, l.Root.String())
	if err != nil {
		return fmt.Errorf("import %s: %w", l.Root, err)
	}
	for _, o := range known {
		if o.Key == l.Key || l.Key == "" {
			return nil
		}
	}
	o := &files.Object{Created: time.Now().UTC().Truncate(time.Second), Root: l.Root.String(), Kind: l.Kind, Name: l.Name, Key: l.Key, Imported: true}
	if l.Kind == "" {
		o.Kind = string(pack.KindFile)
	}
	if c.cfg.Chain != nil {
		if p, err := c.cfg.Chain.Params(ctx); err == nil {
			o.ChainID = p.ChainID
		}
	}
	if l.Bid != 0 {
		o.Pieces = []files.Piece{{Bid: files.Bid{State: files.BidOver, Order: l.Bid}}}
	}
	if err := c.records.Create(ctx, o); err != nil {
		return fmt.Errorf("import %s: %w", l.Root, err)
	}
	return nil
}

// ExportKeys writes a link for all that this home can open, one a line: a backup of
// the keys, to be kept as secret as they are.
func (c *Client) ExportKeys(ctx context.Context, w io.Writer) (n int, err error) {
	all, err := c.records.Objects(ctx)
	if err != nil {
		return 0, fmt.Errorf("export keys: %w", err)
	}
	for _, o := range all {
		if o.Key == "" || o.Kind == files.KindBatch {
			continue
		}
		root, err := o.RootCID()
		if err != nil {
			return n, fmt.Errorf("export keys: %w", err)
		}
		l := linkOf(o, root)
		if l.Validate() != nil {
			l.Name = ""
		}
		if _, err := fmt.Fprintln(w, l); err != nil {
			return n, fmt.Errorf("export keys: %w", err)
		}
		n++
	}
	return n, nil
}

// ImportKeys reads what ExportKeys wrote. Empty lines and those that begin with # are
// passed over.
func (c *Client) ImportKeys(ctx context.Context, r io.Reader) (n int, err error) {
	lines := bufio.NewScanner(r)
	for at := 1; lines.Scan(); at++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		l, err := link.Parse(text)
		if err == nil {
			err = c.Import(ctx, l)
		}
		if err != nil {
			return n, fmt.Errorf("import keys: line %d: %w", at, err)
		}
		n++
	}
	if err := lines.Err(); err != nil {
		return n, fmt.Errorf("import keys: %w", err)
	}
	return n, nil
}

// hinted adds to an imported object the deals that hold its copies now.
func (c *Client) hinted(ctx context.Context, o *files.Object) {
	for i := range o.Pieces {
		c.findRepairs(ctx, &o.Pieces[i])
	}
}

// Warnings says in one line each what will go wrong with an object, at a height, unless
// something is done: copies that miners are late with, and copies that end soon.
func Warnings(o *files.Object, height chain.Height, blockMillis uint64) []string {
	var out []string
	for i := range o.Pieces {
		for j := range o.Pieces[i].Deals {
			d := &o.Pieces[i].Deals[j]
			if text := warning(d, o.Renew != nil, height, blockMillis); text != "" {
				out = append(out, fmt.Sprintf("piece %d of %d: deal %d with miner %d %s", o.Pieces[i].Part+1, len(o.Pieces), d.ID, d.Miner, text))
			}
		}
	}
	return out
}

// warnFraction is the part of a term, or of the time for a step, that is left when a
// warning begins.
const warnFraction = 10

func warning(d *files.Deal, renewed bool, height chain.Height, blockMillis uint64) string {
	soon := func(from, to chain.Height) bool { return to > height && to-height <= (to-min(from, to))/warnFraction+1 }
	left := func(to chain.Height) string { return Span(uint64(to-height), blockMillis) }
	switch {
	case d.State == chain.DealMatched.String() && soon(d.Matched, d.FetchBy):
		return "has to be fetched within " + left(d.FetchBy) + ": run perdure client run"
	case d.State == chain.DealAccepted.String() && soon(d.Accepted, d.ActivateBy):
		return "has to be proven within " + left(d.ActivateBy)
	case d.Active() && !renewed && soon(d.ActiveAt, d.End):
		return "ends in " + left(d.End) + ": perdure renew"
	}
	return ""
}

// Span is so many blocks as a time for people.
func Span(blocks, blockMillis uint64) string {
	d := time.Duration(blocks*blockMillis) * time.Millisecond
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f days", d.Hours()/24)
	case d >= time.Hour:
		return fmt.Sprintf("%.1f hours", d.Hours())
	}
	return d.Round(time.Second).String()
}
