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
	if err := begin(ctx, chain, c.Messages); err != nil {
		return err
	}
	x, err := openIndex(c.Dir, chain)
	if err != nil {
		return err
	}
	api, err := explorer.New(explorer.Config{Backend: scale.Backend{Chain: chain}, Index: x})
	if err != nil {
		return errors.Join(err, x.Close())
	}
	defer func() { err = errors.Join(err, api.Close()) }()
	following := follow(ctx, x, chain)
	defer func() { err = errors.Join(err, following.close()) }()
	if err := following.reach(ctx); err != nil {
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
	defer func() {
		err = errors.Join(err, server.Close())
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}()
	blocks := grow(ctx, chain, c.Messages)
	defer func() { err = errors.Join(err, blocks()) }()
	if err := out.Encode(serverOpen{"http://" + l.Addr().String(), *names}); err != nil {
		return err
	}
	for lines.Scan() { // ends with the input
	}
	return lines.Err()
}

// recentBlocks is how many blocks with messages there are before anything is asked.
const recentBlocks = 20

// begin makes the first blocks of so many messages, if any, where they lack.
func begin(ctx context.Context, c *scale.Chain, messages int) error {
	for messages > 0 && c.Store.View().Height() < c.Base()+recentBlocks {
		if err := playMixed(ctx, c, messages); err != nil {
			return err
		}
	}
	return nil
}

// openIndex opens the index of a big chain in a directory.
func openIndex(dir string, c *scale.Chain) (*index.Index, error) {
	return index.Open(index.Config{Dir: filepath.Join(dir, "index"), ChainID: scale.ChainID, Params: c.Params})
}

// source is a chain as an index follows it.
func source(c *scale.Chain) index.Source {
	node := scale.Backend{Chain: c}
	return index.Source{Store: c.Store, Messages: node.Messages, Votes: node.Votes}
}

// follower has an index follow a chain.
type follower struct {
	index *index.Index
	chain *scale.Chain
	stop  context.CancelFunc
	ended chan struct{}
	err   error // why it has ended
}

// follow has an index follow a chain until it is closed.
func follow(ctx context.Context, x *index.Index, c *scale.Chain) *follower {
	f := &follower{index: x, chain: c, ended: make(chan struct{})}
	ctx, f.stop = context.WithCancel(ctx)
	go func() {
		defer close(f.ended)
		f.err = x.Run(ctx, source(c))
	}()
	return f
}

func (f *follower) close() error {
	f.stop()
	<-f.ended
	if errors.Is(f.err, context.Canceled) {
		return nil
	}
	return f.err
}

// reach waits until the index has all of the chain.
func (f *follower) reach(ctx context.Context) error {
	for want := f.chain.Store.View().Height(); ; {
		moved := f.index.Moved()
		_, h, ok := f.index.Tip()
		if ok && h >= want {
			return nil
		}
		select {
		case <-moved:
		case <-f.ended:
			return fmt.Errorf("the index follows no more behind height %d", h) // close says why
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

// playOn makes a block every blockPause until ctx ends. Its messages are signed
// halfway: in a network that is others' work, which would hold up the block.
func playOn(ctx context.Context, c *scale.Chain, n int) error {
	half := time.NewTicker(blockPause / 2)
	defer half.Stop()
	var messages [][]byte
	for {
		select {
		case <-half.C:
		case <-ctx.Done():
			return nil
		}
		var err error
		if messages == nil {
			messages, err = c.Messages(scale.Mixed, n)
		} else {
			err = c.Play(ctx, messages)
			messages = nil
		}
		if err != nil {
			return err
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
