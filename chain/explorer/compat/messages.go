package compat

import (
	"net/http"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

// How many messages a list is made of at most, and how many may stand before them.
const (
	mostItems = 100
	mostSkip  = 10_000
	apiPage   = 500 // items of a page of the API at most
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

// search says which messages are wanted, and in which order.
type search struct {
	first, last chain.Height // last 0: to the newest
	touched     string       // address that sent them or that they touched; empty: any
	sender      string       // address that sent them; empty: any
	oldestFirst bool
}

// until bounds the heights from above.
func (s *search) until(h chain.Height) {
	switch {
	case h == 0: // no message is so old
		s.first, s.last = 2, 1
	case s.last == 0 || h < s.last:
		s.last = h
	}
}

// list is the list of the API in which they are, with its parameters.
func (v *visit) list(s *search) (path string, query []string, err error) {
	if s.first > 0 && s.first == s.last && s.touched == s.sender {
		return "/v1/blocks/" + decimal(s.first) + "/messages", nil, nil
	}
	query = []string{"address", s.touched}
	if s.last > 0 {
		query = append(query, "maxHeight", decimal(s.last))
	}
	if s.oldestFirst {
		query = append(query, "sortDesc", "false")
	}
	status, err := ask[explorer.Status](v, "/v1/status")
	if err != nil {
		return "", nil, err
	}
	if s.first > status.Index.First { // else all that are kept
		query = append(query, "minHeight", decimal(s.first))
	}
	return "/v1/messages", query, nil
}

// messages is a page of one of the API's lists of messages, each with what its
// bytes tell.
func (v *visit) messages(path string, query ...string) (*explorer.List[*explorer.MessageContent], error) {
	return ask[explorer.List[*explorer.MessageContent]](v, path, append(query, "content", "true")...)
}

// find returns take of the messages that are searched for, after the first skip
// of them.
func (v *visit) find(s *search, skip, take int) ([]*explorer.MessageContent, error) {
	if skip > mostSkip {
		return nil, refusal(http.StatusBadRequest, "want at most %d before the page: narrow the heights", mostSkip)
	}
	path, query, err := v.list(s)
	if err != nil || s.last > 0 && s.first > s.last {
		return nil, err
	}
	var out []*explorer.MessageContent
	for cursor, read := "", 0; read < mostSkip+mostItems; {
		l, err := v.messages(path, append(query, "limit", decimal(min(skip+take, apiPage)), "cursor", cursor)...)
		if err != nil {
			return nil, err
		}
		for _, m := range l.Items {
			switch {
			case s.sender != "" && m.From != s.sender:
			case skip > 0:
				skip--
			default:
				if out = append(out, m); len(out) == take {
					return out, nil
				}
			}
		}
		if cursor = l.Next; cursor == "" {
			return out, nil
		}
		read += len(l.Items)
	}
	return nil, refusal(http.StatusBadRequest, "more than %d messages would have to be read: narrow the heights", mostSkip)
}
