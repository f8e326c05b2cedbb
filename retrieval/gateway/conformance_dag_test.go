package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/ipfs/go-cid"
)

// pathDAG is the group of documents: nodes of (DAG-)JSON and (DAG-)CBOR.
func (s *suite) pathDAG() {
	plain := s.cid(fixJSONCBOR, "ą", "ę", "t.json")
	data := s.raw(fixJSONCBOR, "ą", "ę", "t.json")
	for _, c := range []struct {
		query   string
		headers []string
	}{{"", nil}, {"", accepting("application/json")}, {"?format=json", accepting("application/vnd.ipld.raw")}} {
		s.expect("GET /ipfs/"+plain+c.query, c.headers, status(200), is("Content-Type", "application/json"), body(data))
	}

	file := "GET /ipfs/" + s.cid(fixJSONCBOR, "ą", "ę", "file-źł.txt")
	s.expect(file+"?format=dag-json", nil, status(406))
	s.expect(file+"?format=dag-cbor", nil, status(406))
	s.expect(file, accepting("application/vnd.ipld.dag-json"), status(406))
	s.expect("GET /ipfs/"+fixDagJSON+"?format=dag-cbor", nil, status(406))
	s.expect("GET /ipfs/"+fixDagCBOR+"?format=dag-json", nil, status(406))
	s.expect("GET /ipfs/"+fixDagCBOR, accepting("application/vnd.ipld.dag-json"), status(406))

	for _, c := range []struct{ root, format, disposition string }{{fixPlainJSON, "json", "inline"}, {fixPlainCBOR, "cbor", "attachment"}} {
		line, media, data := "GET /ipfs/"+c.root, "application/"+c.format, s.block(c.root)
		named := holds("Content-Disposition", fmt.Sprintf(`%s; filename="%s.%s"`, c.disposition, c.root, c.format))
		s.ranges(line, nil, media, data, named)
		s.ranges(line+"?format="+c.format, nil, media, data, named)
		s.ranges(line, accepting(media), media, data, named)
	}

	const found = `{"hello": "this is not a link"}`
	s.expect("GET /ipfs/"+fixDagJSON+"/foo?format=dag-json", nil, status(501))
	s.expect("GET /ipfs/"+fixDagJSON+"/foo/link/bar?format=dag-json", nil, status(200), sameJSON(found))
	s.expect("GET /ipfs/"+fixDagJSON+"/foo/i-do-not-exist", nil, status(404))
	s.expect("GET /ipfs/"+fixDagCBOR+"/foo?format=dag-cbor", nil, status(501))
	s.expect("GET /ipfs/"+fixDagCBOR+"/foo/link/bar?format=dag-cbor", nil, status(200), body("\xa1\x65hello\x72this is not a link"))
	s.expect("GET /ipfs/"+fixDagCBOR+"/foo/i-do-not-exist", nil, status(404))
}

// block is a block as it is, of any codec.
func (s *suite) block(c string) string {
	s.Helper()
	data, err := s.store.Block(s.Context(), cid.MustParse(c))
	if err != nil {
		s.Fatal(err)
	}
	return string(data)
}

// sameJSON demands the same document, however it is set.
func sameJSON(text string) want {
	return func(g got) error {
		var a, b any
		if err := json.Unmarshal(g.body, &a); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(text), &b); err != nil {
			return err
		}
		if x, y := fmt.Sprint(a), fmt.Sprint(b); x != y {
			return fmt.Errorf("document %s, want %s", x, y)
		}
		return nil
	}
}

// pathNative is the group of documents in the codec of their own.
func (s *suite) pathNative() {
	for _, c := range []struct{ root, format, disposition string }{{fixDagJSON, "json", "inline"}, {fixDagCBOR, "cbor", "attachment"}} {
		root, data := "/ipfs/"+c.root, s.block(c.root)
		media, dag := "application/"+c.format, "application/vnd.ipld.dag-"+c.format
		same := body(data)
		s.expect("GET "+root, nil, status(200), same)
		s.expect("GET "+root+"?format=dag-"+c.format, nil, status(200), same)
		s.expect("GET "+root, accepting(dag), status(200), same)
		s.expect("GET "+root+"?format="+c.format, nil, status(200), is("Content-Type", media), same)
		s.expect("GET "+root, accepting(media), status(200), is("Content-Type", media), same)

		named := fmt.Sprintf(`; filename="%s.%s"`, c.root, c.format)
		s.expect("GET "+root, accepting(dag), is("Content-Type", dag), is("Content-Length", fmt.Sprint(len(data))),
			holds("Content-Disposition", c.disposition+named), is("X-Content-Type-Options", "nosniff"),
			holds("Etag", c.root+".dag-"+c.format), is("X-Ipfs-Path", root), is("X-Ipfs-Roots", c.root), is("Cache-Control", immutableForall))
		s.expect("GET "+root+"?filename=foobar."+c.format, accepting(dag), holds("Content-Disposition", c.disposition+`; filename="foobar.`+c.format+`"`))
		s.expect("GET "+root+"?download=true&filename=foobar."+c.format, accepting(dag), holds("Content-Disposition", `attachment; filename="foobar.`+c.format+`"`))

		s.expect("HEAD "+root, nil, status(200), holds("Content-Type", dag), is("Content-Length", fmt.Sprint(len(data))))
		s.expect("HEAD "+root+"?format=dag-"+c.format, nil, status(200), holds("Etag", c.root+".dag-"+c.format),
			holds("Content-Type", dag), is("Content-Length", fmt.Sprint(len(data))))
		s.expect("HEAD /ipfs/"+cidNotHeld, []string{"Cache-Control: only-if-cached"}, status(412))
		s.expect("GET "+root+"/", accepting("text/html"), status(200), holds("Etag", "DagIndex-"), holds("Content-Type", "text/html"),
			lacks("Content-Disposition"), says("</html>"),
			either(lacks("Cache-Control"), is("Cache-Control", "public, max-age=604800, stale-while-revalidate=2678400")))

		s.ranges("GET "+root+"/", nil, dag, data)
		s.ranges("GET "+root+"/", accepting(dag), dag, data)
		s.ranges("GET "+root+"/", accepting(media), media, data)
	}
}

// TestConvertCodecs: with the option documents are converted, as the suite had it
// before v0.10 and IPIP-524.
func TestConvertCodecs(t *testing.T) {
	s := newSuite(t, Config{ConvertCodecs: true})
	file := s.cid(fixJSONCBOR, "ą", "ę", "file-źł.txt")
	for _, c := range []struct{ format, disposition string }{{"json", "inline"}, {"cbor", "attachment"}} {
		dag := "application/vnd.ipld.dag-" + c.format
		for _, root := range []string{file, fixJSONCBOR} {
			named := holds("Content-Disposition", fmt.Sprintf(`%s; filename="%s.%s"`, c.disposition, root, c.format))
			s.expect("GET /ipfs/"+root+"?format=dag-"+c.format, nil, status(200), is("Content-Type", dag), named)
			s.expect("GET /ipfs/"+root, accepting("foo, "+dag+",bar"), status(200), is("Content-Type", dag), named)
		}
		s.expect("GET /ipfs/"+file+"?format="+c.format, nil, status(200), holds("Content-Type", "text/plain"), body(s.raw(file)))
	}
	s.expect("GET /ipfs/"+fixDagCBOR+"/foo/link/bar?format=dag-json", nil, status(200), sameJSON(`{"hello": "this is not a link"}`))
	if json := s.ask("GET /ipfs/" + fixDagJSON + "?format=dag-cbor"); json.StatusCode != 200 || bytes.HasPrefix(json.body, []byte("{")) {
		t.Errorf("DAG-JSON as DAG-CBOR: %s %q", json.Status, json.body)
	}
}
