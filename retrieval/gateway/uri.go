package gateway

import (
	"net/http"
	"strings"

	"github.com/ipfs/boxo/path"
)

// The headers that name the content of an answer. X-Ipfs-Path holds the path as it
// is; Ipfs-Uri, which replaces it, holds every path (IPIP-548).
const (
	headerURI  = "Ipfs-Uri"
	headerPath = "X-Ipfs-Path"
)

// contentPath reads the path below /ipfs/ that a request asks for: decoded once, so
// that %2F parts components, and without dots. It reports false if there is none.
func contentPath(r *http.Request) (path.ImmutablePath, bool) {
	p, err := path.NewPath(r.URL.Path)
	if err != nil || p.Namespace() != path.IPFSNamespace {
		return path.ImmutablePath{}, false
	}
	immutable, err := path.NewImmutablePath(p)
	return immutable, err == nil
}

// uriOf writes a content path as a URI: the root as a CID of version 1 in base32,
// of the rest every byte that RFC 3986 does not leave unreserved in percent.
func uriOf(p path.ImmutablePath) string {
	const hex = "0123456789ABCDEF"
	var out strings.Builder
	out.WriteString("ipfs://" + version1(p.RootCid()).String())
	rest := strings.TrimPrefix(p.String(), "/ipfs/"+p.Segments()[1])
	for i := range len(rest) {
		if b := rest[i]; b == '/' || unreserved(b) {
			out.WriteByte(b)
		} else {
			out.Write([]byte{'%', hex[b>>4], hex[b&15]})
		}
	}
	return out.String()
}

func unreserved(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("-._~", b) >= 0
}

// plain reports whether a path can stand in a header as it is.
func plain(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r != '\t' && (r < ' ' || r > '~') }) < 0
}

// answer is the response to a request about a content path. It says which, leaving
// X-Ipfs-Path out where a header cannot carry the path, and why its walk was ended:
// boxo's readers do not always pass on why a block was refused.
type answer struct {
	http.ResponseWriter
	walk     *walk
	pathless bool
}

func newAnswer(w http.ResponseWriter, r *http.Request) *answer {
	return &answer{ResponseWriter: w, pathless: !plain(r.URL.Path)}
}

// finish completes the headers.
func (a *answer) finish() {
	if a.pathless {
		a.Header().Del(headerPath)
	}
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(code int) {
	refused := a.walk.refusal()
	if code == http.StatusInternalServerError && refused != nil {
		code = refused.StatusCode
	}
	if code == http.StatusServiceUnavailable && refused != nil {
		a.Header().Set("Retry-After", seconds(busyWait))
	}
	a.finish()
	a.ResponseWriter.WriteHeader(code)
}

// Write implements io.Writer.
func (a *answer) Write(b []byte) (int, error) {
	a.finish()
	return a.ResponseWriter.Write(b)
}
