package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// answerTime is how long a node may take to answer, or to go on with an answer, before it
// counts as silent. A node gives up on what it is asked before that.
const answerTime = 30 * time.Second

// SilentError says that a node did not answer a request, or not go on with its answer,
// for as long as one is waited for. Whether the node took what it was sent is not known.
type SilentError struct {
	Node  string // its URL
	After time.Duration
}

// Error implements error.
func (e *SilentError) Error() string {
	return fmt.Sprintf("node %s did not answer within %s: see whether it is stopped or overloaded, or ask another node", e.Node, e.After)
}

// patience is how long the answer to a request may take to begin, and to go on: zero for
// one that has no bound, since it says nothing before there is a block.
func (c *Client) patience(path string) time.Duration {
	switch {
	case strings.HasPrefix(path, PathUpdates):
		return 0
	case strings.HasPrefix(path, PathReceipts):
		return pollTime + c.wait
	}
	return c.wait
}

// exchange sends a request and returns the answer once it begins, or a *SilentError.
// A feed's connection alone is bounded, by the transport.
func (c *Client) exchange(req *http.Request, within time.Duration) (*http.Response, error) {
	if within == 0 {
		return c.http.Do(req)
	}
	ctx, end := context.WithCancelCause(req.Context())
	silence := &SilentError{c.base, within}
	timer := time.AfterFunc(within, func() { end(silence) })
	resp, err := c.http.Do(req.WithContext(ctx))
	timer.Stop()
	if err != nil {
		err = because(ctx, err)
		end(nil)
		return nil, err
	}
	resp.Body = &body{resp.Body, ctx, end, timer, within}
	return resp, nil
}

// because is the silence that ended a request, if that is why it has an error.
func because(ctx context.Context, err error) error {
	var silence *SilentError
	if errors.As(context.Cause(ctx), &silence) {
		return silence
	}
	return err
}

// naming says what was being done with the node, unless the error itself names it.
func (c *Client) naming(doing string, err error) error {
	var silence *SilentError
	if errors.As(err, &silence) {
		return err
	}
	return fmt.Errorf("%s %s: %w", doing, c.base, err)
}

// body is the body of an answer, which breaks off when its node falls silent. The time
// between two calls of Read is the reader's own.
type body struct {
	io.ReadCloser
	ctx    context.Context // of the request
	end    context.CancelCauseFunc
	timer  *time.Timer
	within time.Duration
}

func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(b.within)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF {
		err = because(b.ctx, err)
	}
	return n, err
}

func (b *body) Close() error {
	defer b.end(nil)
	return b.ReadCloser.Close()
}
