package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
)

//go:embed static
var staticFS embed.FS

// files are the page's own scripts, styles and pictures under names that hold
// a hash of the content, so that a browser may keep them for ever.
type files struct {
	byName map[string]*file
	hashed map[string]string // name as templates have it to name in URLs
}

type file struct {
	content      string // media type
	raw, gzipped []byte
}

func loadFiles() (*files, error) {
	out := &files{map[string]*file{}, map[string]string{}}
	entries, err := fs.ReadDir(staticFS, "static")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if _, err := out.load(e.Name()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// imported is how a script names another one.
var imported = regexp.MustCompile(`from "\./([a-z]+\.js)"`)

// load reads a file, unless that is done, and returns its name in URLs. A script
// gets the names in URLs of those that it imports, which must not form a circle.
func (f *files) load(name string) (string, error) {
	if hashed, known := f.hashed[name]; known {
		if hashed == "" {
			return "", fmt.Errorf("script %s imports itself", name)
		}
		return hashed, nil
	}
	f.hashed[name] = ""
	raw, err := staticFS.ReadFile("static/" + name)
	if err != nil {
		return "", err
	}
	ext := path.Ext(name)
	if ext == ".js" {
		if raw, err = f.renamed(raw); err != nil {
			return "", fmt.Errorf("script %s: %w", name, err)
		}
	}
	sum := sha256.Sum256(raw)
	hashed := strings.TrimSuffix(name, ext) + "-" + hex.EncodeToString(sum[:6]) + ext
	f.hashed[name] = hashed
	f.byName[hashed] = &file{mime.TypeByExtension(ext), raw, zip(raw)}
	return hashed, nil
}

// renamed is a script that imports others under their names in URLs.
func (f *files) renamed(raw []byte) ([]byte, error) {
	var failed error
	out := imported.ReplaceAllFunc(raw, func(found []byte) []byte {
		name := string(imported.FindSubmatch(found)[1])
		hashed, err := f.load(name)
		if err != nil {
			failed = err
		}
		return fmt.Appendf(nil, `from "./%s"`, hashed)
	})
	return out, failed
}

// url is where a file is, for templates.
func (f *files) url(name string) (string, error) {
	hashed := f.hashed[name]
	if hashed == "" {
		return "", fmt.Errorf("there is no file %s", name)
	}
	return "/static/" + hashed, nil
}

// foreign is an origin whose API a page may ask: a name or an address of IPv4,
// and a port. Nothing in it can end a directive of the policy.
var foreign = regexp.MustCompile(`^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)

// policyFor is the policy of the page of a request: with ?api=ORIGIN its script
// may ask that origin as well, and no other.
func policyFor(r *http.Request) string {
	api := strings.TrimSuffix(r.URL.Query().Get("api"), "/")
	if !foreign.MatchString(api) {
		return policy
	}
	return strings.Replace(policy, "connect-src 'self'", "connect-src 'self' "+api, 1)
}

// static serves a file.
func (p *Page) static(w http.ResponseWriter, r *http.Request) {
	f := p.files.byName[r.PathValue("name")]
	if f == nil {
		p.refuse(w, r, newProblem(http.StatusNotFound, "there is no such file; the page may have changed: load it again"))
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.content)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Security-Policy", policy)
	h.Set("Vary", "Accept-Encoding")
	body := f.raw
	if takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = f.gzipped
	}
	w.Write(body) // the reader is gone if this fails
}

// leastZipped is the size below which compression is not worth its header.
const leastZipped = 1024

// deliver writes a page, compressed if the reader takes that; not at all if
// the reader has it already.
func (p *Page) deliver(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	h.Add("Vary", "Accept, Accept-Encoding")
	if status == http.StatusOK {
		sum := sha256.Sum256(body)
		tag := `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
		h.Set("ETag", tag)
		if strings.Contains(r.Header.Get("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if len(body) >= leastZipped && takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = zip(body)
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(body) // the reader is gone if this fails
	}
}

func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" && strings.TrimSpace(weight) != "q=0" {
			return true
		}
	}
	return false
}

func zip(raw []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(raw) // a buffer takes all
	z.Close()
	return b.Bytes()
}
