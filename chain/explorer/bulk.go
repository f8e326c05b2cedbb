package explorer

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/chain/explorer/access"
	"github.com/perdure/perdure/chain/explorer/export"
	"github.com/perdure/perdure/chain/index"
)

// A list that is asked for as a whole, as CSV or as lines of JSON, is written page
// by page out of one snapshot of the index, however long it is.
const (
	bulkPage = 500       // items that are held at a time
	bulkCost = 20        // requests that a whole list counts as
	bulkTime = time.Hour // in which one must be read: until then its snapshot keeps space taken
)

// form is a form of whole lists.
type form struct {
	name, content string
	open          func(to io.Writer, columns []export.Column) export.Writer
}

var forms = []form{
	{"csv", export.ContentCSV, func(to io.Writer, columns []export.Column) export.Writer { return export.NewCSV(to, columns) }},
	{"ndjson", export.ContentNDJSON, func(to io.Writer, _ []export.Column) export.Writer { return export.NewNDJSON(to) }},
}

// formOf is the form in which a request wants a list as a whole: by its parameter
// format or, without one, by its header Accept. nil: it wants a page.
func formOf(r *http.Request, values url.Values) *form {
	if name := values.Get("format"); name != "" {
		return formNamed(func(f *form) bool { return f.name == name })
	}
	for accepted := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		media, _, err := mime.ParseMediaType(accepted)
		if err != nil || media == contentJSON || media == "*/*" {
			return nil
		}
		if f := formNamed(func(f *form) bool { return strings.HasPrefix(f.content, media) }); f != nil {
			return f
		}
	}
	return nil
}

func formNamed(is func(*form) bool) *form {
	for i := range forms {
		if is(&forms[i]) {
			return &forms[i]
		}
	}
	return nil
}

// bulk is the form of a list's answer, whose parameters must fit it.
func (q *query) bulk() (*form, error) {
	if _, err := q.choice("format", "json", "csv", "ndjson"); err != nil {
		return nil, err
	}
	f := q.form
	if f == nil {
		return nil, nil
	}
	if q.given("limit") || q.given("cursor") {
		return nil, badRequest("a list as %s is whole: it has no limit and no cursor", f.name)
	}
	if _, known := access.From(q.context()); !known { // nobody would read it before its snapshot is closed
		return nil, badRequest("a list as %s is for callers by HTTP", f.name)
	}
	return f, nil
}

// rows goes through rows until add or ctx says that it is enough.
type rows func(ctx context.Context, add func(any) error) error

// whole answers with all of a list, which read reads page by page.
func whole[T any](q *query, f *form, read func(p index.Page, add func(T)) (next []byte, err error)) (any, error) {
	if _, err := read(index.Page{Limit: 1}, func(T) {}); err != nil { // what is wrong is said before anything is written
		return nil, err
	}
	return q.stream(f, q.listName(), export.ColumnsOf(reflect.TypeFor[T]()), func(ctx context.Context, add func(any) error) error {
		return through(ctx, index.Page{Limit: bulkPage}, func(p index.Page) ([]byte, error) {
			var failed error
			next, err := read(p, func(v T) {
				if failed == nil {
					failed = add(v)
				}
			})
			if failed != nil {
				return nil, failed
			}
			return next, err
		})
	})
}

// entire answers with a list that one answer has all of: with that or, if the list is
// asked for as a whole, with its items.
func entire[T any](q *query, answer any, items []*T) (any, error) {
	f, err := q.bulk()
	if err != nil || f == nil {
		return answer, err
	}
	return q.stream(f, q.listName(), export.ColumnsOf(reflect.TypeFor[T]()), func(_ context.Context, add func(any) error) error {
		for _, v := range items {
			if err := add(v); err != nil {
				return err
			}
		}
		return nil
	})
}

// listName is what a file with the list is called, but for its form.
func (q *query) listName() string {
	return strings.ReplaceAll(strings.TrimPrefix(q.r.URL.Path, "/v1/"), "/", "-")
}

// through goes through the pages of a list from one on.
func through(ctx context.Context, p index.Page, read func(index.Page) (next []byte, err error)) error {
	for {
		next, err := read(p)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || next == nil {
			return err
		}
		p.After = next
	}
}

// stream answers with rows, as many as the caller may have. It takes longer than
// others can wait for, so it keeps no turn, neither to count them nor to write them.
func (q *query) stream(f *form, name string, columns []export.Column, all rows) (*Stream, error) {
	q.done()
	if !q.mayExport() {
		if err := all(q.context(), counted(q.api.limits.Rows)); err != nil {
			return nil, err
		}
	}
	return &Stream{Content: f.content, Name: name + "." + f.name, Write: func(w io.Writer) error {
		ctx, cancel := context.WithTimeout(q.context(), bulkTime)
		defer cancel()
		out := f.open(w, columns)
		if err := all(ctx, out.Write); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		return out.Flush()
	}}, nil
}

// counted refuses rows beyond so many.
func counted(most int) func(any) error {
	n := 0
	return func(any) error {
		if n++; n > most {
			return problem(http.StatusForbidden, "there are more than %d rows: ask for fewer, or with a token that allows %s", most, access.Export)
		}
		return nil
	}
}

// mayExport reports whether the caller may have any number of rows.
func (q *query) mayExport() bool {
	who, known := access.From(q.context())
	return known && (who.Local || who.Scope.Allows(access.Export))
}

// isList reports whether a route answers with a list that is also read as a whole.
func (r *route) isList() bool { return slices.Contains(r.query, "format") && r.path != exportPath }
