package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/internal/bench/scale"
)

// serverConfig is the API over a big chain.
type serverConfig struct {
	Dir  string     `json:"dir"`
	Size scale.Size `json:"size"`
	// Messages of the blocks that come meanwhile, one every blockPause; 0: none come.
	Messages int `json:"messages"`
}

// blockPause is the time between two blocks of the chain that is served: that of a
// testnet. Each lets go of what answers the API had kept.
const blockPause = 2 * time.Second

// serverOpen is where it answers, and what there is to ask for.
type serverOpen struct {
	URL   string        `json:"url"`
	Names scale.Samples `json:"names"`
}

// samplesOf is how many names of each kind the callers choose from.
const samplesOf = 20_000

// runServer serves the explorer of a big chain until its input ends.
func runServer(ctx context.Context, c *serverConfig, lines *bufio.Scanner, out *json.Encoder) (err error) {
	chain, err := scale.Open(ctx, c.Dir, c.Size, func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, chain.Close()) }()
	x, err := openIndex(c.Dir, chain)
	if err != nil {
		return err
	}
	api, err := explorer.New(explorer.Config{Backend: scale.Backend{Chain: chain}, Index: x})
	if err != nil {
		return errors.Join(err, x.Close())
	}
	defer func() { err = errors.Join(err, api.Close()) }()
	stop := follow(ctx, x, chain)
	defer func() { err = errors.Join(err, stop()) }()
	if err := reach(ctx, x, chain); err != nil {
		return err
	}
	names, err := chain.Samples(samplesOf)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: api.Handler(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	blocks := grow(ctx, chain, c.Messages)
	defer func() { err = errors.Join(err, blocks()) }()
	if err := out.Encode(serverOpen{"http://" + l.Addr().String(), *names}); err != nil {
		return err
	}
	for lines.Scan() { // ends with the input
	}
	err = errors.Join(lines.Err(), server.Close())
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// openIndex opens the index of a big chain in a directory.
func openIndex(dir string, c *scale.Chain) (*index.Index, error) {
	return index.Open(index.Config{Dir: filepath.Join(dir, "index"), ChainID: scale.ChainID, Params: c.Params})
}

// source is a chain as an index follows it.
func source(c *scale.Chain) index.Source {
	return index.Source{Store: c.Store, Messages: scale.Backend{Chain: c}.Messages}
}

// follow has an index follow a chain until stop is called.
func follow(ctx context.Context, x *index.Index, c *scale.Chain) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx, source(c)) }()
	return func() error {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
}

// reach waits until an index that follows a chain has all of it.
func reach(ctx context.Context, x *index.Index, c *scale.Chain) error {
	want := c.Store.View().Height()
	for look := time.NewTicker(100 * time.Millisecond); ; {
		if _, h, ok := x.Tip(); ok && h >= want {
			look.Stop()
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// grow makes blocks of so many messages, if any, until stop is called.
func grow(ctx context.Context, c *scale.Chain, messages int) (stop func() error) {
	if messages == 0 {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- playOn(ctx, c, messages) }()
	return func() error {
		cancel()
		return <-done
	}
}

// playOn makes a block every blockPause until ctx ends.
func playOn(ctx context.Context, c *scale.Chain, messages int) error {
	pause := time.NewTicker(blockPause)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
			if err := playMixed(ctx, c, messages); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func playMixed(ctx context.Context, c *scale.Chain, n int) error {
	messages, err := c.Messages(scale.Mixed, n)
	if err != nil {
		return err
	}
	return c.Play(ctx, messages)
}
