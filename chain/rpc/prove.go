package rpc

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state/proof"
)

// refuseProof answers with why there is no proof, header or block.
func refuseProof(w http.ResponseWriter, err error) {
	var pruned *PrunedError
	switch {
	case errors.As(err, &pruned):
		refuse(w, http.StatusGone, err)
	case errors.Is(err, ErrNotFound), errors.Is(err, context.DeadlineExceeded):
		refuse(w, http.StatusNotFound, err)
	default:
		refuse(w, http.StatusInternalServerError, err)
	}
}

func (s server) prove(w http.ResponseWriter, r *http.Request) {
	k, err := keyOf(r)
	if err == nil {
		err = proof.CheckKey(k)
	}
	at := Newest
	if text := r.URL.Query().Get("height"); err == nil && text != "" {
		var h uint64
		h, err = strconv.ParseUint(text, 10, 63)
		at = chain.Height(h)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), headerTime)
	defer cancel()
	b, err := s.node.Prove(ctx, k, at)
	if err != nil {
		refuseProof(w, err)
		return
	}
	reply(w, b)
}

func (s server) header(w http.ResponseWriter, r *http.Request) {
	h, err := strconv.ParseUint(r.PathValue("height"), 10, 63)
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("height: %w", err))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), headerTime)
	defer cancel()
	raw, err := s.node.Header(ctx, chain.Height(h))
	if err != nil {
		refuseProof(w, err)
		return
	}
	w.Header().Set("Content-Type", contentProto)
	w.Write(raw)
}

func (s server) block(w http.ResponseWriter, r *http.Request) {
	c, err := cid.Decode(r.PathValue("cid"))
	if err == nil {
		_, err = proof.Digest(c)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	raw, err := s.node.StateBlock(c)
	if err != nil {
		refuseProof(w, err)
		return
	}
	w.Header().Set("Content-Type", contentCBOR)
	w.Write(raw)
}

func (s server) report(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvidence))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, err)
		return
	}
	if err := s.node.Report(raw); err != nil {
		refuse(w, http.StatusUnprocessableEntity, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// read returns the body of a good answer of at most so many bytes.
func (c *Client) read(ctx context.Context, path string, most int64) ([]byte, error) {
	body, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	raw, err := io.ReadAll(io.LimitReader(body, most+1))
	switch {
	case err != nil:
		return nil, c.naming("read answer of", err)
	case int64(len(raw)) > most:
		return nil, fmt.Errorf("answer of %s to %s exceeds %d bytes", c.base, path, most)
	}
	return raw, nil
}

// Prove returns the proof of a key's record in the state of a height, with one
// header that is not verified yet. Newest is the newest state that has one.
func (c *Client) Prove(ctx context.Context, k chain.Key, at chain.Height) (*proof.Bundle, error) {
	path := PathProofs + k.Table.String() + "/" + hex.EncodeToString([]byte(k.ID))
	if at != Newest {
		path += "?height=" + strconv.FormatUint(uint64(at), 10)
	}
	raw, err := c.read(ctx, path, proof.MaxBundle)
	if err != nil {
		return nil, err
	}
	b, err := proof.DecodeBundle(raw)
	if err != nil {
		return nil, fmt.Errorf("proof of %s: %w", c.base, err)
	}
	return b, nil
}

// Header returns a height's header, votes and validators as CometBFT encodes a
// LightBlock; 0 is the newest. ErrNotFound is wrapped if there is none yet.
func (c *Client) Header(ctx context.Context, h chain.Height) ([]byte, error) {
	return c.read(ctx, PathHeaders+strconv.FormatUint(uint64(h), 10), proof.MaxHeaderBytes)
}

// Block returns a block of the state tree, checked against its CID.
func (c *Client) Block(ctx context.Context, link cid.Cid) ([]byte, error) {
	raw, err := c.read(ctx, PathBlocks+link.String(), maxRecord)
	if err != nil {
		return nil, err
	}
	if got := proof.LinkOf(raw); got != link {
		return nil, fmt.Errorf("block of %s: expected %s, found %s", c.base, link, got)
	}
	return raw, nil
}

// Report hands the node evidence of misbehaviour, as CometBFT encodes it.
func (c *Client) Report(ctx context.Context, raw []byte) error {
	body, err := c.do(ctx, http.MethodPost, PathEvidence, raw)
	if err != nil {
		return err
	}
	return body.Close()
}
