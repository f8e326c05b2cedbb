package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	scenarioID = regexp.MustCompile(`^[A-Z][0-9]+$`)
	quoted     = regexp.MustCompile("`([^`]+)`")
	cellIDs    = regexp.MustCompile(`^=([A-Z][0-9]+(?:,[A-Z][0-9]+)*)$`)
)

// threats is what docs/threat-model.md says.
type threats struct {
	rows    map[string][]string // scenario tables: cells by id
	matrix  map[string]bool     // ids that a matrix names
	reasons []string            // cells of matrices that name none
	faults  map[string]string   // cell of tests by fault of a transfer
}

func readThreats(t *testing.T) *threats {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs", "threat-model.md"))
	if err != nil {
		t.Fatal(err)
	}
	out := &threats{rows: map[string][]string{}, matrix: map[string]bool{}, faults: map[string]string{}}
	matrix, faults := false, false
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			continue
		}
		var cells []string
		for _, c := range strings.Split(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(c))
		}
		switch {
		case scenarioID.MatchString(cells[0]):
			if out.rows[cells[0]] != nil {
				t.Errorf("scenario %s stands there twice", cells[0])
			}
			out.rows[cells[0]] = cells
		case cells[0] == "attackers":
			matrix = true
		case cells[0] == "id" || cells[0] == "asset":
			matrix = false
		case cells[0] == "fault":
			faults = true
		case faults && !strings.HasPrefix(cells[0], "---"):
			out.faults[cells[0]] = cells[len(cells)-1]
		case matrix && !strings.HasPrefix(cells[0], "---"):
			out.cells(cells[1:])
		}
	}
	return out
}

func (th *threats) cells(cells []string) {
	for _, c := range cells {
		m := cellIDs.FindStringSubmatch(c)
		if m == nil {
			th.reasons = append(th.reasons, c)
			continue
		}
		for _, id := range strings.Split(m[1], ",") {
			th.matrix[id] = true
		}
	}
}

// TestThreats holds the threat model to the code: every scenario has a
// countermeasure and either a test that exists or a written reason, stands in a
// matrix, and every cell of a matrix names scenarios or why it is struck.
func TestThreats(t *testing.T) {
	th := readThreats(t)
	if len(th.rows) < 30 {
		t.Fatalf("%d scenarios are read: the page has another form", len(th.rows))
	}
	tests := map[string][]string{}
	for id, cells := range th.rows {
		if len(cells) != 4 || len(cells[1]) < 10 || len(cells[2]) < 10 {
			t.Errorf("%s: want id, scenario, countermeasure and test", id)
			continue
		}
		_, reason, reasoned := strings.Cut(cells[2], "reason: ")
		names := quoted.FindAllStringSubmatch(cells[3], -1)
		if len(names) == 0 && (!reasoned || len(reason) < 20) {
			t.Errorf("%s has neither a test nor a reason", id)
		}
		for _, n := range names {
			checkPlayed(t, id, n[1], tests)
		}
		if !th.matrix[id] {
			t.Errorf("%s stands in no matrix", id)
		}
	}
	for id := range th.matrix {
		if th.rows[id] == nil {
			t.Errorf("a matrix names %s, which is no scenario", id)
		}
	}
	for _, r := range th.reasons {
		if !slices.Contains([]string{"r1", "r2", "r3", "r4", "r5"}, r) {
			t.Errorf("a matrix has the cell %q: want =ID,... or r1 to r5", r)
		}
	}
}

// TestFaultsOfTransfers wants each row of the table of what faults cost to name
// tests that exist.
func TestFaultsOfTransfers(t *testing.T) {
	th := readThreats(t)
	if len(th.faults) < 20 {
		t.Fatalf("%d faults are read: the page has another form", len(th.faults))
	}
	tests := map[string][]string{}
	for fault, cell := range th.faults {
		names := quoted.FindAllStringSubmatch(cell, -1)
		if len(names) == 0 {
			t.Errorf("%q names no test", fault)
		}
		for _, n := range names {
			checkPlayed(t, fault, n[1], tests)
		}
	}
}

// checkPlayed wants folder.TestName to exist and, of folder.TestScripts/name,
// the script.
func checkPlayed(t *testing.T, id, name string, tests map[string][]string) {
	t.Helper()
	folder, test, ok := strings.Cut(name, ".")
	test, script, scripted := strings.Cut(test, "/")
	if !ok {
		t.Errorf("%s: %q: want folder.TestName", id, name)
		return
	}
	if tests[folder] == nil {
		tests[folder] = testsIn(t, folder)
	}
	if !slices.Contains(tests[folder], test) {
		t.Errorf("%s: there is no %s in %s", id, test, folder)
	}
	if !scripted {
		return
	}
	if _, err := os.Stat(filepath.Join(root, folder, "testdata", script+".txt")); err != nil {
		t.Errorf("%s: %v", id, err)
	}
}

// testsIn lists the tests and fuzz targets of a folder.
func testsIn(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, f := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && (strings.HasPrefix(fn.Name.Name, "Test") || strings.HasPrefix(fn.Name.Name, "Fuzz")) {
				out = append(out, fn.Name.Name)
			}
		}
	}
	return out
}
