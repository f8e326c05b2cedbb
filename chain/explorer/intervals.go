package explorer

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/perdure/perdure/chain/explorer/export"
	"github.com/perdure/perdure/chain/index"
)

// interval is a length of time by which figures are summed up: of which kept ones
// they are made, and when the first one of all begins.
type interval struct {
	name    string
	seconds uint64
	of      uint64
	first   uint64 // Unix seconds
}

// intervals are the lengths that can be asked for. A week begins on Monday.
var intervals = []interval{
	{"1m", 60, index.Minute, 0}, {"5m", 300, index.Minute, 0}, {"15m", 900, index.Minute, 0},
	{"1h", 3600, index.Hour, 0}, {"4h", 4 * 3600, index.Hour, 0},
	{"1d", 86400, index.Day, 0}, {"1w", 7 * 86400, index.Day, 4 * 86400},
}

// start is when the one that a time is in begins.
func (i *interval) start(t uint64) uint64 {
	if t < i.first {
		return 0
	}
	return t - (t-i.first)%i.seconds
}

// The most intervals that one answer covers, and the most kept ones that it is
// made of.
const (
	maxIntervals = 1500
	maxKept      = 6000
)

// most is the most intervals of a length that one answer covers.
func (i *interval) most() int { return int(min(maxIntervals, maxKept*i.of/i.seconds)) }

// span reads which intervals are asked for: whole ones from a time on and before
// another; without them the newest ones or, of a list as a whole, all.
func (q *query) span(whole bool) (of interval, from, to uint64, err error) {
	return q.spanOf(intervals, "1h", whole)
}

// spanned are the query parameters of a list of intervals.
func spanned(names ...string) []string {
	return append(names, "interval", "from", "to", "limit", "format")
}

// spanOf is span for some lengths, of which one is usual.
func (q *query) spanOf(intervals []interval, usual string, whole bool) (of interval, from, to uint64, err error) {
	words := make([]string, len(intervals))
	for i := range intervals {
		words[i] = intervals[i].name
	}
	i, err := q.choice("interval", words...)
	if err != nil {
		return of, 0, 0, err
	}
	if i < 0 {
		i = slices.Index(words, usual)
	}
	of = intervals[i]
	limit, err := q.most("limit", 500, of.most())
	if err != nil {
		return of, 0, 0, err
	}
	to = q.global.Time + 1
	if err := optional(q, "to", &to, parseTime); err != nil {
		return of, 0, 0, err
	}
	cover := uint64(limit-1) * of.seconds
	if !whole {
		from = of.start(to - min(to, cover+1))
	}
	if q.given("from") {
		if from, err = parseTime("from", q.values.Get("from")); err != nil {
			return of, 0, 0, err
		}
		if q.given("to") && from > to {
			return of, 0, 0, badRequest("from %s is after to %s", clock(from), clock(to))
		}
		from = of.start(from)
		if !whole && (!q.given("to") || to-min(to, from) > cover+of.seconds) {
			to = from + cover + of.seconds
		}
	}
	return of, from, to, nil
}

// wholeSpan answers with all intervals of a span, which each makes one by one.
func wholeSpan[T any](q *query, f *form, columns []export.Column, each func(add func(*T) error) error) (any, error) {
	return q.stream(f, q.listName(), columns, func(ctx context.Context, add func(any) error) error {
		return each(func(v *T) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return add(v)
		})
	})
}

// lastTime is beyond every time that is meant in seconds. A greater number is one of
// milliseconds, as timestamps of the answers are.
const lastTime = 1 << 37

// parseTime reads Unix seconds, Unix milliseconds or RFC 3339.
func parseTime(name, s string) (uint64, error) {
	if n, err := strconv.ParseUint(s, 10, 47); err == nil {
		if n >= lastTime {
			n /= 1000
		}
		if n < lastTime {
			return n, nil
		}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Unix() < 0 || t.Unix() >= lastTime {
		return 0, badRequest("%s %q: want Unix seconds or milliseconds, or a time like %s", name, clip(s), clock(1_700_000_000))
	}
	return uint64(t.Unix()), nil
}
