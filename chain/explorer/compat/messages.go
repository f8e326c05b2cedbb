package compat

import (
	"net/http"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

// How many messages a list is made of at most, and how many may stand before
// them: each costs a look at its content.
const (
	mostItems = 100
	mostSkip  = 10_000
	apiPage   = 500
)

// transfer is what a message does in the terms of other chains.
type transfer struct {
	to    string // account or miner; empty: none is named
	value string // attoPDR
}

// transferOf reads it from a message's content: who is paid, or which miner it
// is about, and how much is handed over.
func transferOf(body map[string]any) transfer {
	out := transfer{value: "0"}
	for _, field := range []string{"to", "payee", "miner"} {
		if s, ok := body[field].(string); ok && s != "" {
			out.to = s
			break
		}
	}
	for _, field := range []string{"amount", "fund"} {
		if s, ok := body[field].(string); ok {
			out.value = s
			break
		}
	}
	return out
}

// contents are messages with what their bytes tell. The bytes of a message
// without effect may stand in several blocks: each keeps its own place.
func (v *visit) contents(all []*explorer.Message) ([]*explorer.MessageDetail, error) {
	out := make([]*explorer.MessageDetail, len(all))
	for i, m := range all {
		d, err := ask[explorer.MessageDetail](v, "/v1/messages/"+m.Hash)
		if err != nil {
			return nil, err
		}
		own := *d
		own.Message = m
		out[i] = &own
	}
	return out, nil
}

// walk reads a list of messages from its beginning, and returns take of those
// that fit after the first skip of them. It ends early where each says that
// nothing can follow.
func (v *visit) walk(skip, take int, path string, query []string, fits func(*explorer.Message) (fit, more bool)) ([]*explorer.Message, error) {
	if skip > mostSkip {
		return nil, refusal(http.StatusBadRequest, "want at most %d before the page: narrow the heights", mostSkip)
	}
	var out []*explorer.Message
	for cursor, seen := "", 0; ; {
		l, err := ask[explorer.List[*explorer.Message]](v, path, append(query, "limit", decimal(apiPage), "cursor", cursor)...)
		if err != nil {
			return nil, err
		}
		for _, m := range l.Items {
			fit, more := fits(m)
			if !more {
				return out, nil
			}
			if seen++; seen > mostSkip+mostItems {
				return nil, refusal(http.StatusBadRequest, "more than %d messages would have to be read: narrow the heights", mostSkip)
			}
			if !fit {
				continue
			}
			if skip > 0 {
				skip--
				continue
			}
			if out = append(out, m); len(out) == take {
				return out, nil
			}
		}
		if cursor = l.Next; cursor == "" {
			return out, nil
		}
	}
}

// within is for walk: messages of heights from first to last, newest first.
func within(first, last chain.Height) func(*explorer.Message) (bool, bool) {
	return func(m *explorer.Message) (bool, bool) { return m.Height <= last, m.Height >= first }
}
