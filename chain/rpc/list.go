package rpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
)

const (
	pageLimit = 100
	maxPages  = 10_000
)

// ErrLong is wrapped when a list does not end within ten thousand pages of a hundred items.
var ErrLong = errors.New("the list is too long")

// Explorer is a node's explorer API; a Client is one.
type Explorer interface {
	// JSON reads the answer to a path into v.
	JSON(ctx context.Context, path string, v any) error
}

// Page is a page of a list of the explorer API.
type Page[T any] struct {
	Items []T
	Next  string // cursor of the next page; empty at the end
}

// ReadPage reads one page of a list, its first one if cursor is empty: up to limit
// items as JSON into T.
func ReadPage[T any](ctx context.Context, c Explorer, path string, query url.Values, limit int, cursor string) (*Page[T], error) {
	query = maps.Clone(query)
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", fmt.Sprint(limit))
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	var page struct {
		Items []T    `json:"items"`
		Next  string `json:"next"`
	}
	if err := c.JSON(ctx, path+"?"+query.Encode(), &page); err != nil {
		return nil, err
	}
	return &Page[T]{page.Items, page.Next}, nil
}

// List reads a list of the explorer API to its end, page by page.
func List[T any](ctx context.Context, c Explorer, path string, query url.Values) ([]T, error) {
	var out []T
	cursor := ""
	for range maxPages {
		page, err := ReadPage[T](ctx, c, path, query, pageLimit, cursor)
		if err != nil {
			return nil, err
		}
		out = append(out, page.Items...)
		if cursor = page.Next; cursor == "" {
			return out, nil
		}
	}
	return nil, fmt.Errorf("%s: %d items in %d pages: %w", path, len(out), maxPages, ErrLong)
}
