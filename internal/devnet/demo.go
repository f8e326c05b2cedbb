package devnet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/pack"
)

// DemoOptions say what a demo stores and how.
type DemoOptions struct {
	World  WorldOptions // Dir is required
	File   string       // file or directory; empty: a file of random content
	Copies int
	Lose   int    // miners with a copy that are switched off for good once all copies are proven
	Public bool   // store it as it is, not encrypted
	Show   Screen // hears of everything as it happens
}

// Screen shows a demo to people. Its methods may be called from many goroutines.
type Screen interface {
	// Line tells of something that has happened.
	Line(text string)
	// Progress replaces what it last said of something that goes on.
	Progress(text string)
}

// randomSize is the size of the file that a demo makes, in bytes.
const randomSize = 1 << 20

// Demo is one run of the main line: a file is stored, proven and fetched back.
type Demo struct {
	World *World

	o      DemoOptions
	seen   *Chronicle
	client *client.Client
	report Report
	begun  time.Time
	told   int    // proofs that were shown
	follow func() // stops the chronicle
}

// NewDemo starts the network of a demo. Close stops it.
func NewDemo(ctx context.Context, o DemoOptions) (d *Demo, err error) {
	d = &Demo{o: o, seen: NewChronicle(), begun: time.Now(), report: Report{
		Pieces: []ReportPiece{}, Deals: []ReportDeal{}, Proofs: []ReportProof{}, copies: o.Copies, lose: o.Lose, private: !o.Public}}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
			d = nil
		}
	}()
	if o.Copies < 1 || o.Copies > o.World.Miners {
		return d, fmt.Errorf("%d copies on %d miners: want at least one copy and no more than miners", o.Copies, o.World.Miners)
	}
	if err := o.checkLose(); err != nil {
		return d, err
	}
	if o.File != "" { // look before a network is started for it
		if _, err := os.Stat(o.File); err != nil {
			return d, err
		}
	}
	d.say("starting a chain of %d validator(s) and %d miners in %s", max(o.World.Validators, 1), o.World.Miners, o.World.Dir)
	if d.World, err = StartWorld(ctx, o.World); err != nil {
		return d, err
	}
	d.startChronicle(ctx)
	return d, d.openClient()
}

func (d *Demo) startChronicle(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	node := d.World.Network.Client(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer node.Close()
		d.seen.Follow(ctx, node, 1) // whoever waits for the chronicle gets its error
	}()
	d.follow = func() { cancel(); <-done }
}

func (d *Demo) openClient() (err error) {
	key, err := Keystore(d.World.Wallet).Key(d.World.Client)
	if err != nil {
		return err
	}
	d.client, err = client.Open(client.Options{Home: d.World.Wallet, Node: d.World.Nodes[0].API(), Key: key,
		Log: d.World.log.With("part", "client")})
	return err
}

// Close stops the network.
func (d *Demo) Close() error {
	var errs []error
	if d.client != nil {
		errs = append(errs, d.client.Close())
	}
	if d.follow != nil {
		d.follow()
	}
	if d.World != nil {
		errs = append(errs, d.World.Close())
	}
	return errors.Join(errs...)
}

// say tells of something that has happened, with the time since the start.
func (d *Demo) say(format string, args ...any) {
	d.o.Show.Line(fmt.Sprintf("%6.1fs  %s", time.Since(d.begun).Seconds(), fmt.Sprintf(format, args...)))
}

// Run takes a file through everything and reports. An error means that it
// could not go on; whether all is as it must be says Report.OK.
func (d *Demo) Run(ctx context.Context) (*Report, error) {
	stopped := make(chan error, 1)
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		err := d.World.Wait(run)
		if err != nil {
			cancel()
		}
		stopped <- err
	}()
	err := d.run(run)
	cancel()
	if failed := <-stopped; failed != nil {
		err = failed
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	d.report.seconds = time.Since(d.begun).Seconds()
	return &d.report, err
}

func (d *Demo) run(ctx context.Context) error {
	path, err := d.source()
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context, string) error{d.put, d.prove, d.lose, d.get, d.redeem, d.close} {
		if err := step(ctx, path); err != nil {
			return err
		}
	}
	d.report.judge()
	return nil
}

// source is the path of what is stored.
func (d *Demo) source() (string, error) {
	if d.o.File != "" {
		return d.o.File, nil
	}
	path := filepath.Join(d.o.World.Dir, "random")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.CopyN(f, rand.Reader, randomSize)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("make a random file: %w", err)
	}
	d.say("made a file of %s of random content", bytesText(randomSize))
	return path, nil
}

// put stores the file, and shows each stage.
func (d *Demo) put(ctx context.Context, path string) error {
	watched, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); d.showWork(watched) }()
	result, err := d.client.Put(ctx, path, client.PutOptions{Public: d.o.Public, Copies: uint64(d.o.Copies), Event: d.putEvent})
	stop()
	<-done
	if err != nil {
		return err
	}
	r := &d.report
	r.File = ReportFile{SHA256: hex.EncodeToString(result.SHA256), Size: result.Size}
	r.RootCID = result.Root
	for i := range result.Pieces {
		p := &result.Pieces[i]
		r.Pieces = append(r.Pieces, ReportPiece{p.CID, p.PaddedSize, p.PayloadSize})
		for _, deal := range p.Deals {
			r.Deals = append(r.Deals, ReportDeal{ID: deal.ID, Miner: d.miner(deal.Miner), PieceCID: p.CID, Price: deal.Total, ActiveAt: deal.ActiveAt})
		}
	}
	slices.SortFunc(r.Deals, func(a, b ReportDeal) int { return int(a.ID) - int(b.ID) })
	r.PieceCID = r.Pieces[0].PieceCID
	if !result.Complete() {
		return fmt.Errorf("not every copy became active: %v", result.Problems())
	}
	return nil
}

func (d *Demo) miner(id chain.MinerID) string { return chain.FormatMiner(id, d.World.Params.Network) }

// prove waits until every sector with a copy was proven in two windows.
func (d *Demo) prove(ctx context.Context, _ string) error {
	type place struct {
		miner  chain.MinerID
		sector uint64
	}
	var places []place
	for _, deal := range d.report.Deals {
		on, ok := d.seen.Deal(deal.ID)
		if err := d.seen.Wait(ctx, func() bool { on, ok = d.seen.Deal(deal.ID); return ok && on.State == chain.DealActive }); err != nil {
			return err
		}
		if p := (place{on.Miner, on.Sector}); !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	d.say("every copy is active; now each miner has to prove, window after window, that it holds them")
	return d.seen.Wait(ctx, func() bool {
		d.tellProofs()
		for _, p := range places {
			if d.seen.Proven(p.miner, p.sector) < leastProofs {
				d.o.Show.Progress(fmt.Sprintf("height %d: waiting for the next windows", d.seen.Height()))
				return false
			}
		}
		return true
	})
}

// tellProofs shows the proofs that came since the last time. It is called by
// one goroutine at a time.
func (d *Demo) tellProofs() {
	proofs := d.seen.Proofs()
	for _, p := range proofs[d.told:] {
		d.say("height %d: miner %s has proven sectors %v; every validator checked it", p.Height, d.miner(p.Miner), p.Sectors)
	}
	d.told = len(proofs)
}

// close reads where the chain is.
func (d *Demo) close(ctx context.Context, _ string) error {
	r := &d.report
	holders := map[string]bool{}
	for _, deal := range r.Deals {
		holders[deal.Miner] = true
	}
	for _, p := range d.seen.Proofs() {
		if name := d.miner(p.Miner); holders[name] {
			r.Proofs = append(r.Proofs, ReportProof{Miner: name, Height: p.Height, Sectors: p.Sectors})
		}
	}
	view := d.World.Nodes[0].Store().View()
	r.Chain = ReportChain{ChainID: d.World.Params.ChainID, Height: view.Height(), AppHash: hex.EncodeToString(view.AppHash()), Blocks: uint64(view.Height())}
	r.messages = d.seen.Messages()
	var err error
	r.Chain.Bytes, err = blockBytes(ctx, d.World.Nodes[0].RPC(), view.Height())
	return err
}

// digest is the SHA-256 and size of a restored file or directory.
func digest(ctx context.Context, path string) (string, uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", 0, err
	}
	if info.IsDir() {
		sum, size, err := pack.TarDigest(ctx, path)
		return hex.EncodeToString(sum[:]), size, err
	}
	return fileDigest(path)
}
