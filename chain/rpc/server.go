package rpc

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/ipfs/go-cid"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/chain/wallet"
)

// Backend is the node behind the endpoints.
type Backend interface {
	Params() *consensus.Params
	// Record returns the newest committed record of a key, nil if there is none.
	Record(chain.Key) ([]byte, error)
	// Submit hands a message to the mempool; a *consensus.Refusal says why not.
	Submit(ctx context.Context, raw []byte) error
	// Await waits for the receipt of a message until ctx ends.
	Await(ctx context.Context, hash chain.Hash) (*wallet.Inclusion, error)
	// Updates calls each with the encoded Updates from a height on, as blocks
	// are committed, until ctx ends or each fails.
	Updates(ctx context.Context, from chain.Height, each func(raw []byte) error) error
	// Prove returns the proof of a key's record in the state of a height, with
	// one header, and waits for the header until ctx ends. Newest is the newest
	// state that has one.
	Prove(ctx context.Context, k chain.Key, at chain.Height) (*proof.Bundle, error)
	// Header returns a height's header, votes and validators as CometBFT encodes
	// a LightBlock, and waits for it until ctx ends; 0 is the newest.
	Header(ctx context.Context, h chain.Height) ([]byte, error)
	// StateBlock returns a block of the state tree of a kept height, ErrNotFound for
	// one that there is not.
	StateBlock(c cid.Cid) ([]byte, error)
	// Report takes evidence of misbehaviour as CometBFT encodes it.
	Report(raw []byte) error
}

// PrunedError is returned for what a node no longer keeps.
type PrunedError struct{ Oldest chain.Height }

// Error implements error.
func (e *PrunedError) Error() string {
	return fmt.Sprintf("what is older than height %d is no longer kept", e.Oldest)
}

// Handler serves the raw endpoints of a backend. Any web page may read them:
// one that verifies proofs asks for headers and blocks of the state.
func Handler(b Backend) http.Handler {
	s := server{b}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PathParams, s.params)
	mux.HandleFunc("GET "+PathRecords+"{table}/{key}", s.record)
	mux.HandleFunc("GET "+PathRecords+"{table}", s.record)
	mux.HandleFunc("GET "+PathRecords+"{table}/{$}", s.record)
	mux.HandleFunc("POST "+PathMessages, s.submit)
	mux.HandleFunc("GET "+PathReceipts+"{hash}", s.receipt)
	mux.HandleFunc("GET "+PathUpdates, s.updates)
	mux.HandleFunc("GET "+PathProofs+"{table}/{key}", s.prove)
	mux.HandleFunc("GET "+PathProofs+"{table}", s.prove)
	mux.HandleFunc("GET "+PathProofs+"{table}/{$}", s.prove)
	mux.HandleFunc("GET "+PathHeaders+"{height}", s.header)
	mux.HandleFunc("GET "+PathBlocks+"{cid}", s.block)
	mux.HandleFunc("POST "+PathEvidence, s.report)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			w.Header().Set("Access-Control-Allow-Origin", "*")
		}
		if h, pattern := mux.Handler(r); pattern == "" {
			lost(w, r, h)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// lost refuses a request that no endpoint takes, as the router says.
func lost(w http.ResponseWriter, r *http.Request, router http.Handler) {
	said := &verdict{header: http.Header{}}
	router.ServeHTTP(said, r)
	if said.code == http.StatusMethodNotAllowed {
		allow := said.header.Get("Allow")
		w.Header().Set("Allow", allow)
		refuse(w, said.code, fmt.Errorf("that method is not allowed here, only %s", allow))
		return
	}
	refuse(w, http.StatusNotFound, errors.New("no such path; see /v1/openapi.yaml"))
}

// verdict takes in what a router says, which nobody reads.
type verdict struct {
	header http.Header
	code   int
}

// Header implements http.ResponseWriter.
func (v *verdict) Header() http.Header { return v.header }

// Write implements http.ResponseWriter.
func (v *verdict) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (v *verdict) WriteHeader(code int) { v.code = code }

type server struct{ node Backend }

func refuse(w http.ResponseWriter, status int, err error) {
	p := problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: err.Error(), Instance: w.Header().Get("X-Request-Id")}
	var refusal *consensus.Refusal
	if errors.As(err, &refusal) {
		p.Code = uint32(refusal.Code)
	}
	var pruned *PrunedError
	if errors.As(err, &pruned) {
		p.Oldest = uint64(pruned.Oldest)
	}
	w.Header().Set("Content-Type", contentProblem)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(p) // the reader is gone if this fails
}

func reply(w http.ResponseWriter, v cbg.CBORMarshaler) {
	b, err := chain.Encode(v)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", contentCBOR)
	w.Write(b)
}

func (s server) params(w http.ResponseWriter, _ *http.Request) { reply(w, s.node.Params()) }

// keyOf reads table and key from the path.
func keyOf(r *http.Request) (chain.Key, error) {
	table, ok := chain.ParseTable(r.PathValue("table"))
	id, err := hex.DecodeString(r.PathValue("key"))
	if !ok || err != nil || len(id) > 64 {
		return chain.Key{}, errors.New("want a table's name and a key in hexadecimal")
	}
	return chain.Key{Table: table, ID: string(id)}, nil
}

func (s server) record(w http.ResponseWriter, r *http.Request) {
	k, err := keyOf(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	raw, err := s.node.Record(k)
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, err)
	case raw == nil:
		refuse(w, http.StatusNotFound, errors.New("no such record"))
	default:
		w.Header().Set("Content-Type", contentCBOR)
		w.Write(raw)
	}
}

func (s server) submit(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, chain.MaxEncodedMessage))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, err)
		return
	}
	if err := s.node.Submit(r.Context(), raw); err != nil {
		refuse(w, http.StatusUnprocessableEntity, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (s server) receipt(w http.ResponseWriter, r *http.Request) {
	var hash chain.Hash
	if err := hash.UnmarshalText([]byte(r.PathValue("hash"))); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pollTime)
	defer cancel()
	in, err := s.node.Await(ctx, hash)
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	reply(w, in)
}

// feedStall is how long a reader of the feed may let one Update wait.
const feedStall = 30 * time.Second

// feed writes frames to one reader.
type feed struct {
	w       http.ResponseWriter
	control *http.ResponseController
	started bool
}

// write sends frames, each behind its length.
func (f *feed) write(frames ...[]byte) error {
	f.started = true
	f.w.Header().Set("Content-Type", contentCBOR)
	if err := f.control.SetWriteDeadline(time.Now().Add(feedStall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	for _, raw := range frames {
		if _, err := f.w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(raw)))); err != nil {
			return err
		}
		if _, err := f.w.Write(raw); err != nil {
			return err
		}
	}
	return f.control.Flush()
}

func (s server) updates(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.ParseUint(r.URL.Query().Get("from"), 10, 63)
	proven := r.URL.Query().Get("proof")
	if err != nil || proven != "" && proven != "true" && proven != "false" {
		refuse(w, http.StatusBadRequest, errors.New("want from, a height, and proof, true or false"))
		return
	}
	f := &feed{w: w, control: http.NewResponseController(w)}
	next := chain.Height(from)
	err = s.node.Updates(r.Context(), next, func(raw []byte) error {
		if proven != "true" {
			return f.write(raw)
		}
		b, err := s.node.Prove(r.Context(), chain.GlobalKey(), next)
		if err != nil {
			return err
		}
		bundle, err := chain.Encode(b)
		if err != nil {
			return err
		}
		next++
		return f.write(raw, bundle)
	})
	var pruned *PrunedError
	switch {
	case f.started:
		return // the reader sees the end of the stream
	case errors.As(err, &pruned):
		refuse(w, http.StatusGone, err)
	case err != nil && r.Context().Err() == nil:
		refuse(w, http.StatusInternalServerError, err)
	}
}
