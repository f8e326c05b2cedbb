package page

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"

	"github.com/perdure/perdure/chain/explorer"
)

//go:embed static
var staticFS embed.FS

// files are the page's own scripts, styles and pictures under names that hold
// a hash of the content, so that a browser may keep them for ever.
type files struct {
	byName map[string]*explorer.Delivery
	hashed map[string]string // name as templates have it to name in URLs
}

func loadFiles() (*files, error) {
	out := &files{map[string]*explorer.Delivery{}, map[string]string{}}
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
	f.byName[hashed] = explorer.Fixed(mime.TypeByExtension(ext), raw)
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

// policyFor is the policy of a page that is asked for with ?api=ORIGIN, or without
// if that is empty: its script may ask that origin as well, and no other.
func policyFor(api string) string {
	api = strings.TrimSuffix(api, "/")
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
	w.Header().Set("Content-Security-Policy", policy)
	explorer.Deliver(w, r, f)
}
