package archtest

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unordered marks a range over a map whose order changes nothing.
const unordered = "//perdure:unordered"

const addressPackage = "github.com/filecoin-project/go-address"

// TestPureSource is rule D.
func TestPureSource(t *testing.T) {
	all := mustLoad(t)
	for _, path := range purePaths() {
		p := all[path]
		fset := token.NewFileSet()
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		for _, problem := range checkSource(t, all, path, fset, files) {
			t.Error(problem)
		}
	}
}

// checkSource returns what rule D finds wrong in the files of a package.
func checkSource(t *testing.T, all map[string]*listed, path string, fset *token.FileSet, files []*ast.File) []string {
	t.Helper()
	lookup := func(path string) (io.ReadCloser, error) {
		if p := all[path]; p != nil && p.Export != "" {
			return os.Open(p.Export)
		}
		return nil, fmt.Errorf("no export data of %s", path)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", lookup)}
	if _, err := conf.Check(path, fset, files, info); err != nil {
		t.Fatalf("type-check %s: %v", path, err)
	}
	c := &checker{fset: fset, info: info}
	for _, f := range files {
		c.file(f)
	}
	return c.problems
}

// checker walks one package.
type checker struct {
	fset     *token.FileSet
	info     *types.Info
	marked   map[int]bool // lines below an unordered mark with a reason
	sorted   map[ast.Expr]bool
	problems []string
}

func (c *checker) file(f *ast.File) {
	c.marked, c.sorted = map[int]bool{}, map[ast.Expr]bool{}
	for _, group := range f.Comments {
		for _, line := range group.List {
			if reason, ok := strings.CutPrefix(line.Text, unordered); ok && len(strings.TrimSpace(reason)) > 0 {
				c.marked[c.fset.Position(line.Pos()).Line+1] = true
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if isUnused(n) {
			return false
		}
		c.statement(n)
		if e, ok := n.(ast.Expr); ok {
			c.expression(e)
		}
		return true
	})
}

// isUnused reports a declaration of blank variables, which generated code has
// to keep its imports.
func isUnused(n ast.Node) bool {
	v, ok := n.(*ast.ValueSpec)
	return ok && !slices.ContainsFunc(v.Names, func(i *ast.Ident) bool { return i.Name != "_" })
}

func (c *checker) bad(n ast.Node, format string, args ...any) {
	at := c.fset.Position(n.Pos())
	if abs, err := filepath.Abs(root); err == nil {
		at.Filename = strings.TrimPrefix(at.Filename, abs+string(filepath.Separator))
	}
	c.problems = append(c.problems, fmt.Sprintf("%s:%d: %s", at.Filename, at.Line, fmt.Sprintf(format, args...)))
}

func (c *checker) statement(n ast.Node) {
	switch n := n.(type) {
	case *ast.GoStmt:
		c.bad(n, "go statement: the rules run in the caller's goroutine, so that every node computes the same")
	case *ast.SelectStmt:
		c.bad(n, "select: its choice differs from node to node")
	case *ast.RangeStmt:
		if t := c.info.TypeOf(n.X); t != nil && isMap(t) && !c.marked[c.fset.Position(n.Pos()).Line] {
			c.bad(n, "range over a map: its order differs from run to run; sort the keys, or write above it %s REASON", unordered)
		}
	}
}

func isMap(t types.Type) bool {
	_, ok := t.Underlying().(*types.Map)
	return ok
}

func (c *checker) expression(e ast.Expr) {
	if t := c.info.TypeOf(e); t != nil && isFloat(t) {
		c.bad(e, "floating point (%s): it may round differently elsewhere; compute with integers", types.ExprString(e))
	}
	switch e := e.(type) {
	case *ast.CallExpr:
		c.call(e)
	case *ast.SelectorExpr:
		if o := c.info.Uses[e.Sel]; o != nil && o.Pkg() != nil && o.Pkg().Path() == addressPackage && o.Name() == "CurrentNetwork" {
			c.bad(e, "address.CurrentNetwork is global: use chain.FormatAddress with the network of Params")
		}
	}
}

func isFloat(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&(types.IsFloat|types.IsComplex) != 0
}

// call finds iterators over maps that are not sorted at once.
func (c *checker) call(e *ast.CallExpr) {
	switch pkg, name := c.callee(e); {
	case pkg == "slices" && strings.HasPrefix(name, "Sorted"):
		for _, a := range e.Args {
			c.sorted[a] = true
		}
	case pkg == "maps" && slices.Contains([]string{"Keys", "Values", "All"}, name):
		if !c.sorted[e] && !c.marked[c.fset.Position(e.Pos()).Line] {
			c.bad(e, "maps.%s: its order differs from run to run; wrap it in slices.Sorted, or write above it %s REASON", name, unordered)
		}
	}
}

func (c *checker) callee(e *ast.CallExpr) (pkg, name string) {
	f := ast.Unparen(e.Fun)
	if i, ok := f.(*ast.IndexExpr); ok {
		f = i.X
	}
	s, ok := f.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	if o := c.info.Uses[s.Sel]; o != nil && o.Pkg() != nil {
		return o.Pkg().Path(), o.Name()
	}
	return "", ""
}

// TestSourceRuleSees feeds rule D one offence at a time: a rule that sees
// nothing would pass everything.
func TestSourceRuleSees(t *testing.T) {
	all := mustLoad(t)
	for name, c := range map[string]struct {
		body string
		want string // part of the problem; empty: none
	}{
		"goroutine":        {"go func() {}()", "go statement"},
		"select":           {"select {}", "select"},
		"float literal":    {"x := 1.5; _ = x", "floating point"},
		"float conversion": {"_ = int(float64(len(m)))", "floating point"},
		"map range":        {"for range m {}", "range over a map"},
		"named map range":  {"type n map[int]int; for k := range n(nil) { _ = k }", "range over a map"},
		"marked range":     {"//perdure:unordered only counts\nfor range m {}", ""},
		"mark, no reason":  {"//perdure:unordered\nfor range m {}", "range over a map"},
		"mark elsewhere":   {"//perdure:unordered only counts\n_ = m\nfor range m {}", "range over a map"},
		"keys":             {"for k := range maps.Keys(m) { _ = k }", "maps.Keys"},
		"sorted keys":      {"for _, k := range slices.Sorted(maps.Keys(m)) { _ = k }", ""},
		"slice range":      {"for range []int{1} {}", ""},
		"prefix":           {"_ = address.CurrentNetwork", "CurrentNetwork"},
	} {
		source := "package p\nimport (\"maps\"; \"slices\"; \"" + addressPackage + "\")\n" +
			"var _, _, _ = maps.Keys[map[int]int], slices.Sorted[int], address.Undef\n" +
			"func f(m map[int]int) {\n" + c.body + "\n}\n"
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, "p.go", source, parser.ParseComments)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := strings.Join(checkSource(t, all, "p", fset, []*ast.File{f}), "\n")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: found %q, want %q", name, got, c.want)
		}
	}
}
