// Package link is the text by which one user gives another a stored file or
// directory: what it is, and what opens it.
//
//	perdure:ROOT[?bid=BID][#name=NAME&kind=KIND&key=KEY]
//
// ROOT is the payload's root CID, BID the number of the bid by which it was stored, of
// which the chain knows who holds a copy now, also if the piece holds others beside
// it; NAME what to call it, KIND file or directory, KEY the age identity of
// private content. Whoever has a link with a key can read the content: it stands
// behind the #, as what no client sends to a server, and is to be sent like a
// password. Every value is escaped as in a URL's query; every field comes once at
// most, and a link has one form, the one that String gives.
package link

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
)

// Scheme begins every link.
const Scheme = "perdure:"

// maxLink bounds the bytes of a link, maxName those of a name, as file systems do.
const (
	maxLink = 4096
	maxName = 255
)

// ErrLink is wrapped by errors about text that is no link.
var ErrLink = errors.New("not a perdure: link")

// Link is a reference to a payload.
type Link struct {
	// Root is the payload's root, a CIDv1.
	Root cid.Cid
	// Bid is the number of the bid under which copies are held; 0: not known.
	Bid uint64
	// Name is the name to store it under: one path element, or empty.
	Name string
	// Kind is file or directory, or empty: not known.
	Kind string
	// Key is the age identity (AGE-SECRET-KEY-1...) that opens private content;
	// empty: the content is public, or the key is given otherwise.
	Key string
}

// Is reports whether a text means to be a link.
func Is(text string) bool {
	return len(text) >= len(Scheme) && strings.EqualFold(text[:len(Scheme)], Scheme)
}

// Parse reads a link.
func Parse(text string) (Link, error) {
	var l Link
	if !Is(text) {
		return l, fmt.Errorf("%w: it does not begin with %s", ErrLink, Scheme)
	}
	if len(text) > maxLink {
		return l, fmt.Errorf("%w: longer than %d bytes", ErrLink, maxLink)
	}
	rest, fragment, _ := strings.Cut(text[len(Scheme):], "#")
	root, query, _ := strings.Cut(rest, "?")
	var err error
	if l.Root, err = parseCID(root); err != nil {
		return Link{}, fmt.Errorf("%w: root: %w", ErrLink, err)
	}
	if err := fields(query, map[string]*string{"bid": nil}, func(_, v string) (err error) {
		l.Bid, err = strconv.ParseUint(v, 10, 64)
		if err == nil && (l.Bid == 0 || strconv.FormatUint(l.Bid, 10) != v) {
			err = errors.New("not the number of a bid")
		}
		return err
	}); err != nil {
		return Link{}, err
	}
	places := map[string]*string{"name": &l.Name, "kind": &l.Kind, "key": &l.Key}
	if err := fields(fragment, places, func(k, v string) error { *places[k] = v; return nil }); err != nil {
		return Link{}, err
	}
	if err := l.Validate(); err != nil {
		return Link{}, err
	}
	return l, nil
}

// fields reads name=value pairs, each known name once.
func fields(text string, known map[string]*string, set func(name, value string) error) error {
	if text == "" {
		return nil
	}
	met := map[string]bool{}
	for pair := range strings.SplitSeq(text, "&") {
		name, escaped, ok := strings.Cut(pair, "=")
		if _, is := known[name]; !is || !ok {
			return fmt.Errorf("%w: unknown field %q", ErrLink, clip(name))
		}
		if met[name] {
			return fmt.Errorf("%w: %s comes twice", ErrLink, name)
		}
		met[name] = true
		value, err := url.QueryUnescape(escaped)
		if err != nil || value == "" {
			return fmt.Errorf("%w: %s has no readable value", ErrLink, name) // which may be a key
		}
		if err := set(name, value); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrLink, name, err)
		}
	}
	return nil
}

func clip(s string) string { return s[:min(len(s), 40)] }

// parseCID reads a CIDv1 in the form in which it is written.
func parseCID(text string) (cid.Cid, error) {
	c, err := cid.Decode(text)
	switch {
	case err != nil:
		return cid.Undef, err
	case c.Version() != 1 || c.String() != text:
		return cid.Undef, fmt.Errorf("%q is not the usual form of a CIDv1", clip(text))
	}
	return c, nil
}

// Validate checks that the link has a text form which can be trusted: above all that
// its name is no path.
func (l *Link) Validate() error {
	switch {
	case !l.Root.Defined():
		return fmt.Errorf("%w: no root", ErrLink)
	case l.Kind != "" && l.Kind != "file" && l.Kind != "directory":
		return fmt.Errorf("%w: kind %q, want file or directory", ErrLink, clip(l.Kind))
	case !nameable(l.Name):
		return fmt.Errorf("%w: name %q is not the name of a file", ErrLink, clip(l.Name))
	case l.Key != "" && !strings.HasPrefix(l.Key, "AGE-SECRET-KEY-1"), strings.ContainsFunc(l.Key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("%w: the key is no AGE-SECRET-KEY-1 identity", ErrLink)
	}
	return nil
}

// nameable reports whether a name is empty or one element of a path on every system.
func nameable(name string) bool {
	return len(name) <= maxName && utf8.ValidString(name) && name != "." && name != ".." &&
		!strings.ContainsAny(name, `/\`) && !strings.ContainsFunc(name, unicode.IsControl)
}

// String is the link's text. With a key it is a secret.
func (l Link) String() string {
	out := Scheme + l.Root.String()
	if l.Bid != 0 {
		out += "?bid=" + strconv.FormatUint(l.Bid, 10)
	}
	mark := "#"
	for _, f := range []struct{ name, value string }{{"name", l.Name}, {"kind", l.Kind}, {"key", l.Key}} {
		if f.value != "" {
			out += mark + f.name + "=" + url.QueryEscape(f.value)
			mark = "&"
		}
	}
	return out
}
