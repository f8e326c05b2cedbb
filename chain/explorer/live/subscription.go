package live

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/perdure/perdure/chain"
)

// Request is what a WebSocket's reader says; server-sent events ask for the
// same in their URL.
type Request struct {
	Op     string        `json:"op"` // subscribe: further topics; unsubscribe: fewer
	Topics []string      `json:"topics"`
	Cursor string        `json:"cursor,omitempty"` // go on there, with all topics
	From   *chain.Height `json:"from,omitempty"`   // or at the beginning of this block; neither: where the stream stands
}

// topic is what a reader follows.
type topic struct {
	key    string // in the feed
	quoted []byte // as the reader wrote it, in JSON
}

// change is a request that was understood.
type change struct {
	add    []topic
	remove []string // keys
	at     *Cursor  // nil: where the stream stands
	err    error    // what was wrong with the request
}

// parse reads what a WebSocket's reader sent.
func (h *Hub) parse(raw []byte) *change {
	var r Request
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return &change{err: errors.New(`want {"op":"subscribe","topics":[...]}`)}
	}
	if _, err := d.Token(); err != io.EOF {
		return &change{err: errors.New("want one request a message")}
	}
	return h.understand(&r)
}

func (h *Hub) understand(r *Request) *change {
	topics, err := h.topics(r.Topics)
	if err != nil {
		return &change{err: err}
	}
	c := new(change)
	switch r.Op {
	case "subscribe":
		c.add = topics
		c.at, c.err = h.place(r)
	case "unsubscribe":
		if r.Cursor != "" || r.From != nil {
			return &change{err: errors.New("unsubscribe takes topics alone")}
		}
		for i := range topics {
			c.remove = append(c.remove, topics[i].key)
		}
	default:
		c.err = errors.New("op: want subscribe or unsubscribe")
	}
	return c
}

// topics looks up the names of topics.
func (h *Hub) topics(names []string) ([]topic, error) {
	if len(names) > h.limits.Topics {
		return nil, fmt.Errorf("more than %d topics", h.limits.Topics)
	}
	out := make([]topic, 0, len(names))
	for _, name := range names {
		key, err := h.feed.Key(name)
		if err != nil {
			return nil, err
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		out = append(out, topic{key, quoted})
	}
	return out, nil
}

// place is where a request wants to go on.
func (h *Hub) place(r *Request) (*Cursor, error) {
	switch {
	case r.Cursor != "" && r.From != nil:
		return nil, errors.New("want cursor or from, not both")
	case r.Cursor != "":
		c, err := h.mark.parse(r.Cursor)
		return &c, err
	case r.From != nil:
		if *r.From > maxHeight {
			return nil, errors.New("from is no height")
		}
		return &Cursor{Height: *r.From}, nil
	}
	return nil, nil
}

// asked reads a subscription from a URL: topics, separated by commas, and
// cursor or from. It is nil if the URL has no topics. An event source that
// comes back says by a header what it saw last.
func (h *Hub) asked(r *http.Request) (*change, error) {
	if len(r.URL.RawQuery) > h.limits.Request {
		return nil, fmt.Errorf("query exceeds %d bytes", h.limits.Request)
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	for name, v := range values {
		if !slices.Contains([]string{"topics", "cursor", "from"}, name) {
			return nil, fmt.Errorf("unknown parameter %.40q: want topics, cursor, from", name)
		}
		if len(v) != 1 {
			return nil, fmt.Errorf("%s is given %d times", name, len(v))
		}
	}
	req := Request{Op: "subscribe", Cursor: values.Get("cursor")}
	if s := values.Get("from"); s != "" {
		n, err := strconv.ParseUint(s, 10, 63)
		if err != nil {
			return nil, errors.New("from: want a height")
		}
		req.From = (*chain.Height)(&n)
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		req.Cursor, req.From = last, nil
	}
	if values.Get("topics") == "" {
		if req.Cursor != "" || req.From != nil {
			return nil, errors.New("topics are missing")
		}
		return nil, nil
	}
	req.Topics = strings.Split(values.Get("topics"), ",")
	c := h.understand(&req)
	return c, c.err
}

// pick is an item that a reader takes, and by which of its topics.
type pick struct {
	item  uint32
	topic int
}

// picks lists the items of a block that belong to topics, from one on, each
// once: under the first of its topics. It uses the room of out.
func picks(out []pick, topics []topic, b *encoded, from uint32) []pick {
	out = out[:0]
	for t := range topics {
		items := b.byKey[topics[t].key]
		start, _ := slices.BinarySearch(items, from)
		for _, item := range items[start:] {
			out = append(out, pick{item, t})
		}
	}
	if len(topics) < 2 {
		return out
	}
	slices.SortFunc(out, func(a, b pick) int { return cmp.Or(cmp.Compare(a.item, b.item), cmp.Compare(a.topic, b.topic)) })
	return slices.CompactFunc(out, func(a, b pick) bool { return a.item == b.item })
}
