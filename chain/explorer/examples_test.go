package explorer

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

var update = flag.Bool("update", false, "rewrite examples.yaml, and the references to it in openapi.yaml, from the answers of a test network")

// TestExamples holds the examples of the document against what the API answers,
// byte for byte: each operation with JSON for an answer has one, and so has an
// error. The network is made by the rules alone, so its answers never change
// unless the API does; then -update writes them anew.
func TestExamples(t *testing.T) {
	n := newNetwork(t)
	n.populate()
	api, _ := serve(t, n)
	source, err := os.ReadFile("openapi.yaml")
	must(t, err)
	bare := reference.ReplaceAll(source, nil)
	doc, err := openapi3.NewLoader().LoadFromData(bare)
	must(t, err)
	fragment := examplesOf(t, n, api, doc)
	referring := refer(bare, fragment)
	if *update {
		must(t, os.WriteFile("examples.yaml", fragment, 0o644))
		must(t, os.WriteFile("openapi.yaml", referring, 0o644))
		return
	}
	const again = "go test ./chain/explorer -run '^TestExamples$' -update writes examples and references anew"
	if !bytes.Equal(referring, source) {
		t.Errorf("operations of openapi.yaml do not refer to their example: %s", again)
	}
	if !bytes.Equal(fragment, examples) {
		t.Errorf("examples.yaml is not what the API answers: %s\n%s", again, firstDifference(examples, fragment))
	}
}

// firstDifference shows the first line in which two texts differ.
func firstDifference(old, now []byte) string {
	a, b := bytes.Split(old, []byte("\n")), bytes.Split(now, []byte("\n"))
	for i := range min(len(a), len(b)) {
		if !bytes.Equal(a[i], b[i]) {
			return fmt.Sprintf("line %d: %s\nanswered: %s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, answered: %d", len(a), len(b))
}

const exampleHeader = `  # Examples: real answers of the test network. Written by TestExamples; this part of the document follows openapi.yaml.
  examples:
`

// examplesOf asks each operation once, and once for what is refused.
func examplesOf(t *testing.T, n *network, api *API, doc *openapi3.T) []byte {
	t.Helper()
	var out bytes.Buffer
	out.WriteString(exampleHeader)
	add := func(name, method, path, body string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set(headerRequestID, "example")
		r.Header.Set("Content-Type", contentJSON)
		w := httptest.NewRecorder()
		api.Handler().ServeHTTP(w, r)
		if !strings.Contains(w.Header().Get("Content-Type"), "json") {
			return
		}
		fmt.Fprintf(&out, "    %s:\n      summary: %q\n      value:\n        ", name, method+" "+path)
		must(t, json.Indent(&out, bytes.TrimSpace(w.Body.Bytes()), "        ", "  "))
		out.WriteByte('\n')
	}
	for _, path := range slices.Sorted(slices.Values(documentPaths(doc))) {
		op := doc.Paths.Value(path).Get
		if op == nil || op.Responses.Value("200") == nil || op.Responses.Value("200").Value.Content.Get(contentJSON) == nil {
			continue
		}
		if request := requestOf(t, n, api, doc, op); request != "" {
			add(op.OperationID, http.MethodGet, request, "")
		}
	}
	add("submit", http.MethodPost, "/v1/messages", `{"hex":"0102"}`)
	add("problem", http.MethodGet, "/v1/blocks/0", "")
	return out.Bytes()
}

func documentPaths(doc *openapi3.T) []string {
	var out []string
	for path := range doc.Paths.Map() {
		out = append(out, path)
	}
	return out
}

// requestOf is a request of an operation, from those that all tests ask; of
// a list it asks for little.
func requestOf(t *testing.T, n *network, api *API, doc *openapi3.T, op *openapi3.Operation) string {
	t.Helper()
	for _, path := range paths(n) {
		if operation(t, api, doc, http.MethodGet, path) != op {
			continue
		}
		if op.Parameters.GetByInAndName("query", "limit") != nil && !strings.Contains(path, "limit=") {
			return path + map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + "limit=2"
		}
		return path
	}
	return "" // a path of the node's beside this package
}

var (
	reference     = regexp.MustCompile(`, examples: \{ answer: \{ \$ref: "#/components/examples/\w+" \} \}`)
	operationLine = regexp.MustCompile(`^ +operationId: (\w+)$`)
	jsonSchema    = regexp.MustCompile(`application/(?:problem\+)?json: \{ schema: \{ \$ref: "[^"]*" \}`)
)

// refer puts into each operation's answer, and into that of errors, the
// reference to its example.
func refer(bare, fragment []byte) []byte {
	lines := strings.Split(string(bare), "\n")
	name := ""
	for i, line := range lines {
		if m := operationLine.FindStringSubmatch(line); m != nil {
			name = m[1]
		}
		if line == "    Problem:" {
			name = "problem"
		}
		at := jsonSchema.FindStringIndex(line)
		answers := strings.HasPrefix(line, `        "20`) || name == "problem"
		if at == nil || !answers || !bytes.Contains(fragment, []byte("\n    "+name+":\n")) {
			continue
		}
		lines[i] = line[:at[1]] + `, examples: { answer: { $ref: "#/components/examples/` + name + `" } }` + line[at[1]:]
	}
	return []byte(strings.Join(lines, "\n"))
}
