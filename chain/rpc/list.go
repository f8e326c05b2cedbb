package rpc

import (
	"context"
	"fmt"
	"maps"
	"net/url"
)

const (
	pageLimit = 100
	maxPages  = 200 // of a list: what comes after is not looked at
)

// Explorer is a node's explorer API; a Client is one.
type Explorer interface {
	// JSON reads the answer to a path into v.
	JSON(ctx context.Context, path string, v any) error
}

// List reads a list of the node's explorer API, page by page: its first 20,000
// items as JSON into T.
func List[T any](ctx context.Context, c Explorer, path string, query url.Values) ([]T, error) {
	query = maps.Clone(query)
	query.Set("limit", fmt.Sprint(pageLimit))
	var out []T
	for range maxPages {
		var page struct {
			Items []T     `json:"items"`
			Next  *string `json:"next"`
		}
		if err := c.JSON(ctx, path+"?"+query.Encode(), &page); err != nil {
			return nil, err
		}
		out = append(out, page.Items...)
		if page.Next == nil || *page.Next == "" {
			break
		}
		query.Set("cursor", *page.Next)
	}
	return out, nil
}
