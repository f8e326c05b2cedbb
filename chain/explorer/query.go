package explorer

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/minio/sha256-simd"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/state"
)

// query is one request on its way to an answer: its parameters, and the state
// it is answered from.
type query struct {
	api    *API
	w      http.ResponseWriter
	r      *http.Request
	values url.Values
	form   *form // in which a list is wanted as a whole; nil: as a page
	names
	view   *state.View     // nil before genesis
	global *chain.Global   // of snap, if the answer is from there; else of view
	snap   *index.Snapshot // nil while the index is built or off
	now    *index.Now      // of snap, once it was asked for
	done   func()          // ends the turn of reading

	present  AsOf // of view
	syncing  bool
	unsteady bool // the answer depends on more than the chain
	final    bool // the address has this answer for ever
	past     AsOf // of which a final answer speaks; zero: of the present
}

// AsOf says from which state an answer was taken.
type AsOf struct {
	Height chain.Height `json:"height"`
	Time   string       `json:"time"` // of that block, RFC 3339
	// Syncing says that the node does not follow the head of the chain: there
	// are newer blocks.
	Syncing bool `json:"syncing,omitempty"`
}

// maxQuery bounds the query part of a URL.
const maxQuery = 4096

// question is what a route reads of a request, once.
type question struct {
	of     *route
	values url.Values // the query
	form   *form      // in which a list is wanted as a whole; nil: as a page
	bad    error      // what is wrong with the query; nothing is read of it then
}

func (r *route) read(req *http.Request) question {
	out, raw := question{of: r}, req.URL.RawQuery
	if len(raw) > maxQuery {
		out.bad = problem(http.StatusRequestURITooLong, "query exceeds %d bytes", maxQuery)
		return out
	}
	if raw != "" {
		values, err := url.ParseQuery(raw)
		if err != nil {
			out.bad = badRequest("query: %v", err)
			return out
		}
		out.values = values
	}
	if slices.Contains(r.query, "format") {
		out.form = formOf(req, out.values)
	}
	return out
}

// newQuery checks the names of the query parameters and takes the newest state.
func (a *API) newQuery(w http.ResponseWriter, r *http.Request, asks question) (*query, error) {
	if asks.bad != nil {
		return nil, asks.bad
	}
	of := asks.of
	for name, v := range asks.values {
		if !slices.Contains(of.query, name) {
			if len(of.query) == 0 {
				return nil, badRequest("unknown parameter %q: there are none here", name)
			}
			return nil, badRequest("unknown parameter %q: want %s", name, strings.Join(of.query, ", "))
		}
		if len(v) != 1 {
			return nil, badRequest("%s is given %d times", name, len(v))
		}
	}
	var err error
	q := &query{api: a, w: w, r: r, values: asks.values, form: asks.form, names: names{a.params.Network}, view: a.node.Store().Visit(), syncing: !a.node.Synced()}
	if q.view != nil {
		if q.global, err = a.head(q.view).global(); err != nil {
			return nil, err
		}
		if of.indexed {
			a.awaitIndex(r.Context(), q.view.Height())
		}
		q.present = q.at(q.global.Height, q.global.Time)
	}
	if q.snap, err = a.index.Snapshot(); err != nil && !errors.Is(err, index.ErrBuilding) && !errors.Is(err, index.ErrOff) && of.indexed {
		return nil, err
	}
	if q.view != nil && of.indexed {
		if err := q.reflect(); err != nil {
			q.close()
			return nil, err
		}
	}
	return q, nil
}

// close lets go of what the answer was taken from.
func (q *query) close() {
	if q.snap != nil {
		if err := q.snap.Close(); err != nil {
			q.api.log.Error("API", "error", err)
		}
	}
}

// indexed returns the index as it is for this answer.
func (q *query) indexed() (*index.Snapshot, error) {
	switch {
	case q.snap != nil:
		return q.snap, nil
	case q.api.index == nil:
		return nil, index.ErrOff
	}
	return nil, index.ErrBuilding
}

// An answer waits for the index to reach the state that it is given from, so
// that what a receipt has told is found in lists. It takes milliseconds; an index
// that is much further behind does not follow but catches up, and
// nobody waits for it.
const (
	indexPatience = time.Second
	indexNear     = 100 // blocks
)

func (a *API) awaitIndex(ctx context.Context, h chain.Height) {
	if _, at, ok := a.index.Tip(); !ok || at >= h || at+indexNear < h {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, indexPatience)
	defer cancel()
	a.index.Wait(ctx, h)
}

// tag names the state of the chain and of the index that an answer is given
// from, and the process that gives it; empty before genesis.
func (q *query) tag() string {
	if q.view == nil {
		return ""
	}
	now := tagged{height: q.view.Height(), hash: string(q.view.AppHash()), isIndexed: q.snap != nil, syncing: q.syncing}
	if q.snap != nil {
		now.indexed = q.snap.Height
	}
	if last := q.api.lastTag.Load(); last != nil && last.tagged == now {
		return last.text
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %+v", q.api.epoch, now)
	text := base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
	q.api.lastTag.Store(&tag{now, text})
	return text
}

// tagged is what a tag stands for.
type tagged struct {
	height, indexed    chain.Height
	hash               string
	isIndexed, syncing bool
}

type tag struct {
	tagged
	text string
}

func (q *query) context() context.Context { return q.r.Context() }

// ready refuses requests before genesis.
func (q *query) ready() error {
	if q.view == nil {
		return errNoState
	}
	return nil
}

// params are those in force for the next block.
func (q *query) params() *consensus.Params {
	if q.view == nil {
		return q.api.params
	}
	return q.api.head(q.view).params()
}

func (q *query) asOf() AsOf {
	if q.final && q.past.Height != 0 {
		return q.past
	}
	if q.global == nil {
		return q.at(0, 0)
	}
	return q.at(q.global.Height, q.global.Time)
}

// reflect makes the answer one of the index alone, as of its height: what is
// shown of the chain as a whole, and as time, is of there, too.
func (q *query) reflect() error {
	if q.snap == nil {
		return nil
	}
	g, err := q.snap.Global()
	if err != nil {
		return err
	}
	q.global = g
	return nil
}

// settle says that the answer is one for ever, of a block that the address
// names. What follows the head of the chain is not.
func (q *query) settle(h chain.Height, time uint64) {
	if q.r.PathValue("height") != latest {
		q.final, q.past = true, AsOf{Height: h, Time: clock(time)}
	}
}

// at is asOf for an answer from the state of a height, whose block has a time.
func (q *query) at(h chain.Height, time uint64) AsOf { return AsOf{h, clock(time), q.syncing} }

// clock writes Unix seconds as RFC 3339.
func clock(unix uint64) string {
	return time.Unix(int64(min(unix, 1<<37)), 0).UTC().Format(time.RFC3339)
}

// load reads a record of the newest state and reports whether there is one.
func (q *query) load(k chain.Key, v chain.CBOR) (bool, error) {
	if err := q.ready(); err != nil {
		return false, err
	}
	raw, err := q.view.Record(k)
	if err != nil || raw == nil {
		return false, err
	}
	return true, chain.Decode(raw, v)
}

// recall reads a record from the index, where one that has left the state stays
// as it last was for some time, and from the state while there is no index; nil
// if there is none.
func (q *query) recall(k chain.Key, v chain.CBOR) (*index.Record, error) {
	if q.snap != nil {
		return q.snap.Load(k, v)
	}
	ok, err := q.load(k, v)
	if !ok {
		return nil, err
	}
	return &index.Record{Key: k}, err
}

// number reads a whole number from the path.
func (q *query) number(name string) (uint64, error) {
	return parseNumber(name, q.r.PathValue(name))
}

func parseNumber(name, s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, badRequest("%s %q: want a whole number", name, clip(s))
	}
	return n, nil
}

func parseHeight(name, s string) (chain.Height, error) {
	n, err := parseNumber(name, s)
	return chain.Height(n), err
}

// clip shortens what a stranger wrote before it is shown.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

// latest stands for the newest height in a path.
const latest = "latest"

// height reads a height from the path: a number or "latest".
func (q *query) height() (chain.Height, error) {
	if q.r.PathValue("height") == latest {
		if err := q.ready(); err != nil {
			return 0, err
		}
		return q.view.Height(), nil
	}
	return parseHeight("height", q.r.PathValue("height"))
}

// miner reads a miner's address, t01000, from the path.
func (q *query) miner() (chain.MinerID, error) { return q.parseMiner("miner", q.r.PathValue("miner")) }

func (n names) parseMiner(name, s string) (chain.MinerID, error) {
	id, err := chain.ParseMiner(s)
	if err != nil || id > 1<<63 {
		return 0, badRequest("%s %q: want the form %s", name, clip(s), n.minerText(chain.FirstMinerID))
	}
	return id, nil
}

func parseAddress(name, s string) (chain.Address, error) {
	if len(s) <= 128 {
		if a, err := chain.ParseAddress(s); err == nil {
			return a, nil
		}
	}
	return chain.Address{}, badRequest("%s %q is no address: it may be cut off or mistyped", name, clip(s))
}

// parseCID reads a CID of any version and base and returns it as version 1.
func parseCID(name, s string) (cid.Cid, error) {
	c, err := cid.Decode(s)
	if err != nil || len(c.Bytes()) > 128 {
		return cid.Undef, badRequest("%s %q: not a CID", name, clip(s))
	}
	return cid.NewCidV1(c.Type(), c.Hash()), nil
}

// given reports whether a query parameter stands in the URL.
func (q *query) given(name string) bool { return q.values.Has(name) }

// optional reads a query parameter into a value; one that is absent leaves it as it is.
func optional[T any](q *query, name string, into *T, parse func(name, s string) (T, error)) (err error) {
	if q.given(name) {
		*into, err = parse(name, q.values.Get(name))
	}
	return err
}

// choice reads a query parameter that is one of a few words; -1 if it is absent.
func (q *query) choice(name string, words ...string) (int, error) {
	if !q.given(name) {
		return -1, nil
	}
	i := slices.Index(words, q.values.Get(name))
	if i < 0 {
		return 0, badRequest("%s %q: want %s", name, clip(q.values.Get(name)), strings.Join(words, ", "))
	}
	return i, nil
}

// most reads a query parameter that bounds something.
func (q *query) most(name string, usual, most int) (int, error) {
	if !q.given(name) {
		return min(usual, most), nil
	}
	n, err := strconv.Atoi(q.values.Get(name))
	if err != nil || n < 1 || n > most {
		return 0, badRequest("%s %q: want 1 to %d", name, clip(q.values.Get(name)), most)
	}
	return n, nil
}

// usualPage is how many items a list has if nobody asks for more or less.
const usualPage = 50

// checkSize is the length of the mark in a cursor.
const checkSize = 4

// mark ties a cursor to its list: the path and all filters.
func (q *query) mark() []byte {
	var b strings.Builder
	b.WriteString(q.r.URL.Path)
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range q.values {
			if name != "cursor" && name != "limit" && !yield(name) {
				return
			}
		}
	}) {
		b.WriteString("\x00" + name + "\x00" + q.values.Get(name))
	}
	h := sha256.Sum256([]byte(b.String()))
	return h[:checkSize]
}

// page reads limit and cursor.
func (q *query) page() (index.Page, error) {
	limit, err := q.most("limit", usualPage, q.api.limits.Page)
	if err != nil {
		return index.Page{}, err
	}
	p := index.Page{Limit: limit}
	if !q.given("cursor") {
		return p, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(q.values.Get("cursor"))
	if err != nil || len(raw) <= checkSize || !bytes.Equal(raw[:checkSize], q.mark()) {
		return p, index.ErrPlace
	}
	p.After = raw[checkSize:]
	return p, nil
}

func (q *query) cursor(next []byte) string {
	if next == nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(q.mark(), next...))
}
