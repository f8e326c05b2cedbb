package archtest

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/perdure/perdure"

// pure lists the packages that compute without the world, by folder.
var pure = []string{
	"porep", "porep/graph", "porep/poseidon", "porep/piece", "post",
	"chain", "chain/orderbook", "chain/payment", "chain/consensus", "chain/mempool",
	"retrieval",
}

// listed is what go list says of a package.
type listed struct {
	ImportPath string
	Dir        string
	Export     string
	Standard   bool
	GoFiles    []string
	Imports    []string
	Module     *struct{ Path string }
}

// root is the module's folder.
var root = filepath.Join("..", "..")

// purePaths returns the import paths of the pure packages that exist.
func purePaths() []string {
	var out []string
	for _, p := range pure {
		if m, _ := filepath.Glob(filepath.Join(root, p, "*.go")); len(m) > 0 {
			out = append(out, module+"/"+p)
		}
	}
	return out
}

// load lists the pure packages and all they reach, with export data.
var load = sync.OnceValues(func() (map[string]*listed, error) { return list(nil, "-export") })

// loadReference is load for one fixed platform, since others have other
// assembly packages; without export data.
var loadReference = sync.OnceValues(func() (map[string]*listed, error) {
	return list([]string{"GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0"})
})

func list(env []string, flags ...string) (map[string]*listed, error) {
	args := append([]string{"list", "-deps", "-json=ImportPath,Dir,Export,Standard,GoFiles,Imports,Module"}, flags...)
	cmd := exec.Command("go", append(args, purePaths()...)...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.New("go list: " + err.Error() + "\n" + stderr.String())
	}
	all := map[string]*listed{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := new(listed)
		if err := d.Decode(p); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
}

func mustLoad(t *testing.T) map[string]*listed {
	t.Helper()
	all, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// reach returns everything that from imports, directly or not, each with the
// package through which it was reached first.
func reach(all map[string]*listed, from string) map[string]string {
	via := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		p := all[queue[0]]
		if p == nil {
			continue
		}
		for _, i := range p.Imports {
			if _, seen := via[i]; !seen {
				via[i] = queue[0]
				queue = append(queue, i)
			}
		}
	}
	return via
}

// chainTo writes how a package is reached: a -> b -> c.
func chainTo(via map[string]string, to string) string {
	var path []string
	for p := to; p != ""; p = via[p] {
		path = append(path, strings.TrimPrefix(p, module+"/"))
	}
	slices.Reverse(path)
	return strings.Join(path, " -> ")
}

// ownImports returns the imports of every non-test file of the module, by
// package folder.
func ownImports(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if errors.Is(err, os.ErrNotExist) {
			return nil // gone since it was listed
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(rel)
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			out[folder] = append(out[folder], p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// within reports whether path is one of the packages or below one.
func within(path string, packages ...string) bool {
	return slices.ContainsFunc(packages, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") })
}
