package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/client/fetch"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/client/pack"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/dag"
)

// getting is one Get under way.
type getting struct {
	c    *Client
	o    GetOptions
	r    *GetResult
	own  *files.Object // the record of the payload; nil: a stranger's
	key  string        // opens private content; empty: public, or as it is stored
	from *sources

	ctx      context.Context // of all transfers
	buyer    *buyer.Buyer
	budget   *buyer.Budget
	transfer *buyer.Transfer
	clerk    *clerk
	store    *fetch.Store // in the home
	fresh    bool         // all of the payload is to be got, and nothing of it is there
	kind     dag.Kind     // of the target
}

// newGetting looks up who may have the payload. Nothing is paid yet.
func (c *Client) newGetting(ctx context.Context, r *GetResult, o GetOptions) (*getting, error) {
	g := &getting{c: c, o: o, r: r, key: o.Key, budget: buyer.NewBudget(o.Budget)}
	var err error
	if g.own, err = c.objectOf(ctx, r.Root); err != nil {
		return nil, err
	}
	if g.own != nil && g.own.Key != "" {
		g.key = g.own.Key
	}
	g.from, err = c.sellers(ctx, r.Root)
	return g, err
}

// lock takes the locks of a fetch: one fetch of a root, and one to a
// destination, at a time.
func (g *getting) lock(dest string) (unlock func() error, err error) {
	names := []string{g.r.Root.String()}
	if dest != "" {
		abs, err := filepath.Abs(dest)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256([]byte(abs))
		names = append(names, hex.EncodeToString(sum[:16]))
	}
	var held []*files.Lock
	unlock = func() error {
		var err error
		for _, l := range held {
			err = errors.Join(err, l.Close())
		}
		return err
	}
	for _, name := range names {
		l, err := files.TakeLock(g.c.records.FetchPath(name) + ".lock")
		if errors.Is(err, files.ErrLocked) {
			err = fmt.Errorf("what was fetched of it, or what it is written to, is %w", files.ErrLocked)
		}
		if err != nil {
			return nil, errors.Join(err, unlock())
		}
		held = append(held, l)
	}
	return unlock, nil
}

// run fetches and writes, and keeps the record of it.
func (g *getting) run(ctx context.Context, dest string) (err error) {
	unlock, err := g.lock(dest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if g.store, err = fetch.Open(g.c.records.FetchPath(g.r.Root.String()), g.r.Root, 0o600); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.store.Close())
			return
		}
		err = g.store.Remove()
	}()
	g.fresh = len(g.o.Path) == 0 && g.o.Range == nil && !g.store.Has(g.r.Root)
	return g.recorded(ctx, func() error {
		g.ctx = ctx
		g.hire()
		err := g.fetch(ctx, dest)
		g.clerk.over(g.transfer.Close())
		return err
	})
}

// recorded fetches by a buyer that pays from this home's channels, and keeps the
// record of it.
func (g *getting) recorded(ctx context.Context, fetch func() error) error {
	finish, err := g.begin(ctx)
	if err != nil {
		return err
	}
	err = fetch()
	finish(err)
	return err
}

// begin makes a buyer that pays from this home's channels, and begins the record of
// the fetch. finish says how it went: it ends both.
func (g *getting) begin(ctx context.Context) (finish func(error), err error) {
	p, err := g.c.cfg.Chain.Params(ctx)
	if err != nil {
		return nil, err
	}
	var done func()
	if g.buyer, done, err = g.c.buyer(ctx, g.o.FreeOnly, g.from); err != nil {
		return nil, err
	}
	g.clerk = g.c.newClerk(g.r.Root.String(), strings.Join(append([]string{""}, g.o.Path...), "/"), g.from, p.Network)
	return func(err error) {
		s := g.clerk.over(buyer.Stats{})
		g.report(s)
		g.c.denounce(s)
		g.clerk.end(err)
		done()
	}, nil
}

// report puts what the fetch came to into the result.
func (g *getting) report(s buyer.Stats) {
	g.r.Bytes, g.r.Chunks, g.r.PaidChunks, g.r.Paid, g.r.Sellers = s.Bytes, s.Chunks, s.Paid, s.Spent, s.Sellers
	for _, of := range s.Sellers {
		if of.Paid > 0 && g.r.ChunkPrice.Less(of.Price) {
			g.r.ChunkPrice = of.Price
		}
	}
}

// fetch finds the target, and gets it to where it goes.
func (g *getting) fetch(ctx context.Context, dest string) error {
	if err := g.resolve(ctx); err != nil {
		return err
	}
	switch {
	case g.inTar() && g.o.CAR:
		return errors.New("a private directory is one encrypted file: there is no CAR of a part of it")
	case g.inTar():
		return g.writeFromTar(ctx, dest)
	case g.o.CAR:
		return g.writeCAR(ctx, dest)
	case g.contentKind() != pack.KindFile && g.o.Range != nil:
		return errors.New("it is a directory: only a file has a range")
	case g.contentKind() != pack.KindFile:
		return g.writeDirectory(ctx, dest)
	case g.o.Range != nil || g.o.To != nil:
		return g.writeBytes(ctx, dest)
	}
	return g.writeFile(ctx, dest)
}

// contentKind is what the target is to the user: of what this home stored as a
// private directory, which is one encrypted file, a directory.
func (g *getting) contentKind() pack.Kind {
	switch {
	case len(g.o.Path) == 0 && g.own != nil:
		return pack.Kind(g.own.Kind)
	case g.kind == dag.KindDirectory:
		return pack.KindDirectory
	}
	return pack.KindFile
}

// resolve follows the path and learns what stands at its end.
func (g *getting) resolve(ctx context.Context) error {
	get := func(ctx context.Context, c cid.Cid) ([]byte, error) {
		if err := g.persist(ctx, func() error { return g.pullBlock(ctx, c) }); err != nil {
			return nil, err
		}
		return g.store.Get(ctx, c)
	}
	names := g.o.Path
	if g.inTar() {
		names = nil
	}
	var err error
	if g.r.Target, err = fetch.Resolve(ctx, get, g.r.Root, names); err != nil {
		return err
	}
	if g.kind, err = dag.KindOf(ctx, get, g.r.Target); err == nil && g.kind != dag.KindFile && g.kind != dag.KindDirectory {
		err = fmt.Errorf("it is a %s, neither a file nor a directory", g.kind)
	}
	return g.plain(err)
}

// mode is what permission bits a file gets.
func (g *getting) mode() fs.FileMode {
	if g.own != nil && len(g.o.Path) == 0 && g.own.Mode != 0 && g.own.Kind == string(pack.KindFile) {
		return fs.FileMode(g.own.Mode).Perm()
	}
	return 0o666
}

// restoring is what is known of the content beforehand.
func (g *getting) restoring() pack.RestoreOptions {
	o := pack.RestoreOptions{Root: g.r.Target, Key: g.key}
	if g.own == nil || len(g.o.Path) > 0 {
		return o
	}
	o.Kind, o.Mode = pack.Kind(g.own.Kind), fs.FileMode(g.own.Mode)
	if len(g.own.SHA256) == sha256.Size {
		sum := [sha256.Size]byte(g.own.SHA256)
		o.SHA256 = &sum
	}
	return o
}
