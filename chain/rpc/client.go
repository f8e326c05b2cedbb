package rpc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/chain/wallet"
)

// ErrNotFound is returned for what the node does not have.
var ErrNotFound = errors.New("not found")

// Client talks to one node. It may be used from many goroutines.
type Client struct {
	base  string
	http  *http.Client
	wait  time.Duration // for an answer to begin, and to go on
	token string        // empty: none is shown

	trouble func(error) // hears that a feed cannot be opened; nil: nobody

	mu         sync.Mutex
	params     *consensus.Params
	paramsRead time.Time
}

// New returns a client of the node at base, such as http://127.0.0.1:26660. What is asked
// of a node that takes connections and does not answer ends with a *SilentError, but for
// Follow and FollowProven, which wait for blocks.
func New(base string) *Client {
	web := &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	return &Client{base: strings.TrimRight(base, "/"), http: web, wait: answerTime}
}

// Authorize makes the client show a token of the node's with all that it asks.
// It is called before anything is asked.
func (c *Client) Authorize(token string) { c.token = token }

// OnTrouble has tell called with the reason when a feed of Updates broke and could
// not be opened again at once, and with nil when it goes on. It is called before
// anything is asked.
func (c *Client) OnTrouble(tell func(error)) { c.trouble = tell }

// Base is the node's URL.
func (c *Client) Base() string { return c.base }

// Close lets go of idle connections. It never fails.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// maxPause is the longest that a node may make a client wait for asking too
// often.
const maxPause = 10 * time.Second

// do sends a request and returns the body of a good answer, to be closed. If
// the node says that it asks too often, it asks again when it may.
func (c *Client) do(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	for {
		req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		resp, err := c.exchange(req, c.patience(path))
		if err != nil {
			var at *url.Error
			if errors.As(err, &at) { // which says again whom it asked
				err = at.Err
			}
			return nil, c.naming("ask node", err)
		}
		if resp.StatusCode < 300 {
			return resp.Body, nil
		}
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		pause := time.Duration(seconds) * time.Second
		if resp.StatusCode != http.StatusTooManyRequests || err != nil || pause < 0 || pause > maxPause {
			defer resp.Body.Close()
			return nil, c.problem(resp)
		}
		resp.Body.Close()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("ask node %s: %w", c.base, ctx.Err())
		}
	}
}

func (c *Client) problem(resp *http.Response) error {
	var p problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&p); err != nil || p.Detail == "" {
		p.Detail = resp.Status
	}
	switch {
	case resp.StatusCode == http.StatusGone && p.Oldest > 0:
		return &PrunedError{Oldest: chain.Height(p.Oldest)}
	case p.Code != 0:
		return &consensus.Refusal{Code: consensus.Code(p.Code), Text: p.Detail}
	case resp.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s: %w", p.Detail, ErrNotFound)
	}
	return fmt.Errorf("node %s: %s", c.base, p.Detail)
}

// JSON reads a JSON answer of the node's explorer API into v.
func (c *Client) JSON(ctx context.Context, path string, v any) error {
	body, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(io.LimitReader(body, maxUpdate)).Decode(v)
}

// Order has the node do something, by a POST without a body, and reads its
// JSON answer into v.
func (c *Client) Order(ctx context.Context, path string, v any) error {
	body, err := c.do(ctx, http.MethodPost, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(io.LimitReader(body, maxUpdate)).Decode(v)
}

// Text reads an answer of the node as it is, of at most so many bytes.
func (c *Client) Text(ctx context.Context, path string, most int64) ([]byte, error) {
	return c.read(ctx, path, most)
}

func (c *Client) cbor(ctx context.Context, path string, v chain.CBOR) error {
	body, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	raw, err := io.ReadAll(io.LimitReader(body, maxRecord))
	if err != nil {
		return c.naming("read answer of", err)
	}
	return chain.Decode(raw, v)
}

// paramsAge is how long parameters are remembered: governance gives notice of
// a change long before it takes effect.
const paramsAge = 10 * time.Second

// Params returns the parameters in force, as they were paramsAge ago or later.
func (c *Client) Params(ctx context.Context) (*consensus.Params, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.params != nil && time.Since(c.paramsRead) < paramsAge {
		return c.params, nil
	}
	p := new(consensus.Params)
	if err := c.cbor(ctx, PathParams, p); err != nil {
		return nil, err
	}
	c.params, c.paramsRead = p, time.Now()
	return p, nil
}

// Record reads the newest record of a key and reports whether there is one.
func (c *Client) Record(ctx context.Context, k chain.Key, into chain.CBOR) (bool, error) {
	err := c.cbor(ctx, PathRecords+k.Table.String()+"/"+hex.EncodeToString([]byte(k.ID)), into)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Global returns the newest global record.
func (c *Client) Global(ctx context.Context) (*chain.Global, error) {
	g := new(chain.Global)
	ok, err := c.Record(ctx, chain.GlobalKey(), g)
	if err == nil && !ok {
		err = errors.New("the node has no state yet")
	}
	return g, err
}

// Account returns an account; an unused address has the zero account.
func (c *Client) Account(ctx context.Context, a chain.Address) (*chain.Account, error) {
	acc := new(chain.Account)
	_, err := c.Record(ctx, chain.AccountKey(a), acc)
	return acc, err
}

// Submit hands an encoded signed message to the node's mempool.
func (c *Client) Submit(ctx context.Context, raw []byte) error {
	body, err := c.do(ctx, http.MethodPost, PathMessages, raw)
	if err != nil {
		return err
	}
	return body.Close()
}

// Await returns the receipt of a message once its block is committed.
func (c *Client) Await(ctx context.Context, hash chain.Hash) (*wallet.Inclusion, error) {
	for {
		in := new(wallet.Inclusion)
		err := c.cbor(ctx, PathReceipts+hash.String(), in)
		if err == nil || ctx.Err() != nil || !errors.Is(err, ErrNotFound) {
			return in, err
		}
	}
}

// reconnect is the pause before the feed is opened again.
const reconnect = 500 * time.Millisecond

// Follow calls each with every Update from a height on, in order and without
// gap, until ctx ends or each fails. A feed that breaks is opened again where
// it broke; one that is no longer kept is a *PrunedError.
func (c *Client) Follow(ctx context.Context, from chain.Height, each func(*consensus.Update) error) error {
	return c.follow(ctx, from, "", func(u *consensus.Update, _ *bufio.Reader) error { return each(u) })
}

// FollowProven is Follow with the proof of each Update's state, which is not
// checked: the global record in the root that names the Update's hash. more
// says that the next Update is on its way already.
func (c *Client) FollowProven(ctx context.Context, from chain.Height, each func(u *consensus.Update, b *proof.Bundle, more bool) error) error {
	return c.follow(ctx, from, "&proof=true", func(u *consensus.Update, r *bufio.Reader) error {
		raw, err := readFrame(r, proof.MaxBundle)
		if err != nil {
			return &brokenFeed{err}
		}
		b, err := proof.DecodeBundle(raw)
		if err != nil {
			return fmt.Errorf("feed of %s: update %d: %w", c.base, u.Height, err)
		}
		return each(u, b, r.Buffered() > 0)
	})
}

// brokenFeed marks an error after which the feed is opened again.
type brokenFeed struct{ error }

func (c *Client) follow(ctx context.Context, from chain.Height, how string, each func(*consensus.Update, *bufio.Reader) error) error {
	for broke := 0; ; {
		var failed error
		err := c.feed(ctx, from, how, func(u *consensus.Update, r *bufio.Reader) error {
			if u.Height != from {
				return fmt.Errorf("feed of %s: update %d where %d is next", c.base, u.Height, from)
			}
			err := each(u, r)
			var broken *brokenFeed
			if failed = err; errors.As(err, &broken) {
				failed = nil
			}
			if err == nil {
				from++
				c.tell(nil, broke)
				broke = 0
			}
			return err
		})
		var pruned *PrunedError
		if failed != nil || ctx.Err() != nil || errors.As(err, &pruned) {
			return errors.Join(failed, ctx.Err(), asError(pruned))
		}
		broke++
		c.tell(err, broke)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(reconnect):
		}
	}
}

// endured is how many times in a row a feed may break before that is trouble: a
// node that is started anew breaks it once.
const endured = 2

// tell says that a feed has broken so many times in a row, or goes on after that.
func (c *Client) tell(err error, broke int) {
	if c.trouble != nil && (broke == endured || err == nil && broke > endured) {
		c.trouble(err)
	}
}

func asError(p *PrunedError) error {
	if p == nil {
		return nil
	}
	return p
}

// feed reads one connection's worth of Updates; each may read what comes with one.
func (c *Client) feed(ctx context.Context, from chain.Height, how string, each func(*consensus.Update, *bufio.Reader) error) error {
	body, err := c.do(ctx, http.MethodGet, fmt.Sprintf("%s?from=%d%s", PathUpdates, from, how), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	r := bufio.NewReader(body)
	for {
		raw, err := readFrame(r, maxUpdate)
		if err != nil {
			return err
		}
		u := new(consensus.Update)
		if err := chain.Decode(raw, u); err != nil {
			return fmt.Errorf("feed of %s: %w", c.base, err)
		}
		if err := each(u, r); err != nil {
			return err
		}
	}
}

// readFrame reads what stands behind its length.
func readFrame(r io.Reader, most uint32) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > most {
		return nil, fmt.Errorf("frame of %d bytes exceeds %d", n, most)
	}
	var b bytes.Buffer // grows with what arrives, not with what is announced
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
