package explorer

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/index"
)

// Gap is a run of heights of which a list of the history has nothing: the index
// did not run then.
type Gap struct {
	From chain.Height `json:"from"`
	To   chain.Height `json:"to"` // both in it
}

// List is a page of a list.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"` // cursor of the next page; absent at the end
	Gaps  []Gap  `json:"gaps,omitempty"` // of the history that the list is of
	AsOf
}

// listOf answers with a page; read calls add for each of its items.
func listOf[T any](q *query, read func(p index.Page, add func(T)) (next []byte, err error)) (any, error) {
	if err := q.ready(); err != nil {
		return nil, err
	}
	if form, err := q.bulk(); err != nil || form != nil {
		if err != nil {
			return nil, err
		}
		return whole(q, form, read)
	}
	p, err := q.page()
	if err != nil {
		return nil, err
	}
	items := []T{}
	next, err := read(p, func(v T) { items = append(items, v) })
	if err != nil {
		return nil, err
	}
	return &List[T]{Items: items, Next: q.cursor(next), AsOf: q.asOf()}, nil
}

// errBeyond ends a list at the end of the heights that are wanted.
var errBeyond = errors.New("beyond the range")

// heights is a range of heights, both in it.
type heights struct{ from, to chain.Height }

// allHeights is the range of all.
var allHeights = heights{0, math.MaxInt64}

// heights reads the range of a list; without one it is all.
func (q *query) heights() (heights, error) { return q.between("minHeight", "maxHeight", allHeights) }

// between reads a range of heights by the names of its ends; an end that is absent is
// the usual one.
func (q *query) between(from, to string, usual heights) (heights, error) {
	if err := q.ends(from, to, &usual); err != nil {
		return usual, err
	}
	return usual, usual.check(from, to)
}

// ends reads those ends of a range that are given.
func (q *query) ends(from, to string, h *heights) error {
	return cmp.Or(optional(q, from, &h.from, parseHeight), optional(q, to, &h.to, parseHeight))
}

// check refuses a range that ends before it begins.
func (h heights) check(from, to string) error {
	if h.from > h.to {
		return badRequest("%s %d is above %s %d", from, h.from, to, h.to)
	}
	return nil
}

// ordered are the query parameters of a list that goes by height.
func ordered(names ...string) []string {
	return paged(append(names, "minHeight", "maxHeight", "sortDesc")...)
}

// upward reads whether a list goes from the lowest to the highest.
func (q *query) upward(usual bool) (bool, error) {
	i, err := q.choice("sortDesc", "true", "false")
	if i < 0 || err != nil {
		return usual, err
	}
	return i == 1, nil
}

// without refuses parameters that do not go with one.
func (q *query) without(one string, names ...string) error {
	for _, name := range names {
		if q.given(name) {
			return badRequest("%s goes without %s", one, strings.Join(names, ", "))
		}
	}
	return nil
}

// history answers with a page of a list of what happened, whose rows begin with
// a height and have so many bytes. read goes on with a page until each, which
// says at which height a row is, fails.
func history[V, T any](q *query, width int, read func(*index.Snapshot, index.Page, func(V) (bool, error)) ([]byte, error),
	item func(V) (chain.Height, T)) (any, error) {
	s, err := q.indexed()
	if err != nil {
		return nil, err
	}
	within, err := q.heights()
	if err != nil {
		return nil, err
	}
	out, err := listOf(q, func(p index.Page, add func(T)) ([]byte, error) {
		if p.Upward, err = q.upward(false); err != nil {
			return nil, err
		}
		if err := q.pruned(s, within, p, width); err != nil {
			return nil, err
		}
		return ended(read(s, within.begin(p, width), func(v V) (bool, error) {
			h, out := item(v)
			if !within.has(h) {
				return false, errBeyond
			}
			add(out)
			return true, nil
		}))
	})
	if err != nil {
		return nil, err
	}
	l, paged := out.(*List[T])
	if !paged { // it is read as a whole
		return out, nil
	}
	for _, g := range s.Gaps {
		l.Gaps = append(l.Gaps, Gap(g))
	}
	return l, nil
}

// ended makes the end of the range the end of the list.
func ended(next []byte, err error) ([]byte, error) {
	if errors.Is(err, errBeyond) {
		return nil, nil
	}
	return next, err
}

// pruned refuses what begins before the history: a range, or the cursor of a
// list whose next rows have gone since.
func (q *query) pruned(s *index.Snapshot, within heights, p index.Page, width int) error {
	gone := within.from != 0 && within.from < s.First
	if p.After != nil && len(p.After) == width {
		at := chain.Height(parsePlace(p.After))
		gone = gone || at < s.First && (!p.Upward || at+1 < s.First)
	}
	if !gone {
		return nil
	}
	out := problem(http.StatusGone, "what was before height %d is not kept here", s.First)
	out.Oldest = s.First
	return out
}

func (h heights) has(at chain.Height) bool { return h.from <= at && at <= h.to }

// begin is a page whose first row lies within the range.
func (h heights) begin(p index.Page, width int) index.Page {
	if p.Upward && h.from > 0 {
		start := append(place(uint64(h.from-1)), bytes.Repeat([]byte{0xff}, width-8)...)
		if p.After == nil || bytes.Compare(p.After, start) < 0 {
			p.After = start
		}
	}
	if !p.Upward && h.to < math.MaxInt64 {
		start := append(place(uint64(h.to+1)), make([]byte, width-8)...)
		if p.After == nil || bytes.Compare(p.After, start) > 0 {
			p.After = start
		}
	}
	return p
}

// place is a number as a row has it.
func place(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// parsePlace reads the number that a row begins with.
func parsePlace(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

// several reads a query parameter that is one or more of some words, apart by
// commas; none if it is absent.
func (q *query) several(name string, words ...string) (chosen []int, err error) {
	if !q.given(name) {
		return nil, nil
	}
	for word := range strings.SplitSeq(q.values.Get(name), ",") {
		i := slices.Index(words, word)
		if i < 0 {
			return nil, badRequest("%s %q: want one or more of %s", name, clip(word), strings.Join(words, ","))
		}
		if !slices.Contains(chosen, i) {
			chosen = append(chosen, i)
		}
	}
	return chosen, nil
}

// maxIDs is how many records can be asked for by their numbers at once.
const maxIDs = 100

// ids reads a list of numbers.
func (q *query) ids() (ids []uint64, err error) {
	for s := range strings.SplitSeq(q.values.Get("ids"), ",") {
		n, err := strconv.ParseUint(s, 10, 63)
		if err != nil || len(ids) == maxIDs {
			return nil, badRequest("ids: want up to %d numbers, apart by commas", maxIDs)
		}
		ids = append(ids, n)
	}
	for name := range q.values {
		if name != "ids" && name != "format" {
			return nil, badRequest("ids: of the other parameters format alone goes with it, all are in one answer")
		}
	}
	return ids, nil
}
