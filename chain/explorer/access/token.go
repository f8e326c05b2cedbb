package access

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/perdure/perdure/internal/lifecycle"
)

// Scope is what a token allows. Each allows what stands before it, too.
type Scope string

// The scopes.
const (
	Read   Scope = "read"   // what is public, at a rate of its own
	Export Scope = "export" // answers without bound
	Admin  Scope = "admin"  // work in the node: to rebuild and to check the index
)

// scopes are all, the weakest first.
var scopes = []Scope{Read, Export, Admin}

// ParseScope reads a scope's name.
func ParseScope(s string) (Scope, error) {
	if !slices.Contains(scopes, Scope(s)) {
		return "", fmt.Errorf("scope %q: want read, export or admin", s)
	}
	return Scope(s), nil
}

// Allows reports whether a token of scope s may do what needs another. The
// empty scope is everybody's.
func (s Scope) Allows(need Scope) bool {
	return need == "" || s != "" && slices.Index(scopes, s) >= slices.Index(scopes, need)
}

// Token is what a node remembers of a token: not the token itself.
type Token struct {
	ID      string    `json:"id"` // by which it is revoked
	Name    string    `json:"name"`
	Scope   Scope     `json:"scope"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Hash    string    `json:"hash"`             // SHA-256 of the token, hexadecimal
}

// Errors of tokens.
var (
	// ErrUnknown is returned for a token that the node does not know, or knows no more.
	ErrUnknown = errors.New("the token is not known here, or was revoked")
	// ErrExpired is returned for a token whose time is over.
	ErrExpired = errors.New("the token has expired")
)

// Files of a home.
const (
	tokensFile = "tokens.json"
	adminFile  = "admin.token"
)

const (
	prefix   = "perdure_" // by which programs that look for lost secrets know one
	bytesIn  = 32
	idLength = 12
)

// newSecret makes a token's text.
func newSecret() string {
	b := make([]byte, bytesIn)
	rand.Read(b) // never fails
	return prefix + base64.RawURLEncoding.EncodeToString(b)
}

func hashOf(secret string) string {
	h := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(h[:])
}

// Create makes a token and returns its text, which nobody can read again. A
// life of zero has no end.
func Create(home, name string, s Scope, life time.Duration, now time.Time) (secret string, t *Token, err error) {
	secret = newSecret()
	hash := hashOf(secret)
	t = &Token{ID: hash[:idLength], Name: name, Scope: s, Created: now.UTC().Truncate(time.Second), Hash: hash}
	if life > 0 {
		t.Expires = t.Created.Add(life)
	}
	err = change(home, func(all []Token) ([]Token, error) { return append(all, *t), nil })
	return secret, t, err
}

// Revoke forgets a token. A node that runs knows at its next use.
func Revoke(home, id string) error {
	return change(home, func(all []Token) ([]Token, error) {
		left := slices.DeleteFunc(slices.Clone(all), func(t Token) bool { return t.ID == id })
		if len(left) == len(all) {
			return nil, fmt.Errorf("revoke token %q: there is none with that ID", id)
		}
		return left, nil
	})
}

// List returns the tokens of a home, the oldest first.
func List(home string) ([]Token, error) {
	raw, err := os.ReadFile(filepath.Join(home, tokensFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	var all []Token
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("read tokens %s: %w", filepath.Join(home, tokensFile), err)
	}
	slices.SortStableFunc(all, func(a, b Token) int { return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID)) })
	return all, nil
}

// change replaces the tokens of a home, one change at a time.
func change(home string, f func([]Token) ([]Token, error)) error {
	path := filepath.Join(home, tokensFile)
	dir, err := os.Open(home)
	if err != nil {
		return fmt.Errorf("change tokens: %w", err)
	}
	defer dir.Close() // and with it the lock
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("change tokens: lock %s: %w", home, err)
	}
	all, err := List(home)
	if err != nil {
		return err
	}
	if all, err = f(all); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("change tokens: %w", err)
	}
	return lifecycle.WriteFile(path, append(raw, '\n'), 0o600)
}

// AdminToken returns the token by which programs on the node's own machine,
// that may read its home, do what needs Admin. A home without one gets one.
func AdminToken(home string) (string, error) {
	token, err := ReadAdminToken(home)
	if !errors.Is(err, os.ErrNotExist) {
		return token, err
	}
	secret := newSecret()
	return secret, lifecycle.WriteFile(filepath.Join(home, adminFile), []byte(secret+"\n"), 0o600)
}

// ReadAdminToken returns the admin token of a home, and wraps os.ErrNotExist if
// no node has made one there.
func ReadAdminToken(home string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(home, adminFile))
	if err != nil {
		return "", fmt.Errorf("read admin token: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// Tokens are those of a home as a running node knows them. It reads the file
// again when it has changed.
type Tokens struct {
	home  string
	admin string // hash

	mu   sync.Mutex
	seen os.FileInfo
	by   map[string]Token
}

// Open reads the tokens of a home and makes its admin token.
func Open(home string) (*Tokens, error) {
	admin, err := AdminToken(home)
	if err != nil {
		return nil, err
	}
	t := &Tokens{home: home, admin: hashOf(admin)}
	return t, t.refresh()
}

// refresh reads the file if it is not the one that was read.
func (t *Tokens) refresh() error {
	info, err := os.Stat(filepath.Join(t.home, tokensFile))
	if errors.Is(err, os.ErrNotExist) {
		t.seen, t.by = nil, nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("read tokens: %w", err)
	}
	if t.seen != nil && os.SameFile(info, t.seen) && info.ModTime().Equal(t.seen.ModTime()) && info.Size() == t.seen.Size() {
		return nil // each change makes another file
	}
	all, err := List(t.home)
	if err != nil {
		return err
	}
	t.seen, t.by = info, make(map[string]Token, len(all))
	for _, one := range all {
		t.by[one.Hash] = one
	}
	return nil
}

// Check says what a token is that a caller shows.
func (t *Tokens) Check(secret string, now time.Time) (Token, error) {
	hash := hashOf(secret)
	if subtle.ConstantTimeCompare([]byte(hash), []byte(t.admin)) == 1 {
		return Token{ID: adminFile, Name: adminFile, Scope: Admin, Hash: hash}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refresh(); err != nil {
		return Token{}, err
	}
	one, ok := t.by[hash]
	switch {
	case !ok:
		return Token{}, ErrUnknown
	case !one.Expires.IsZero() && !now.Before(one.Expires):
		return Token{}, ErrExpired
	}
	return one, nil
}
