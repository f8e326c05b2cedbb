package gateway

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mattering are the headers of an answer that clients act on.
var mattering = []string{
	"Content-Type", "Content-Length", "Content-Range", "Content-Disposition", "Content-Location", "Accept-Ranges", "Etag", "Cache-Control",
	"Location", "Last-Modified", "X-Ipfs-Path", "X-Ipfs-Roots", "X-Content-Type-Options", "X-Stream-Error", "Retry-After", "Vary", "Allow",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Expose-Headers",
}

var (
	// pageTag is the ETag of a generated page, which names the version of its form.
	pageTag = regexp.MustCompile(`(DirIndex|DagIndex)-[^_]*_`)
	link    = regexp.MustCompile(`href="(/ipfs/[^"]*|\?[^"]*)"`)
)

// put sends an ask and writes down the answer on one line:
//
//	STATUS | headers that matter | bytes and SHA-256 of the body
//
// Of pages that are generated for people only the links count, of tar archives
// what is in them and not when; of refusals the body does not: they are worded by
// whoever answers. Left out is what IPIP-548, which is younger than the node, has
// changed: paths that headers cannot carry, and the header that replaces them; and
// Allow in answers to OPTIONS, which the node forgets.
func put(t testing.TB, base string, a ask) string {
	t.Helper()
	method, path, _ := strings.Cut(a.line, " ")
	req, err := http.NewRequest(method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range a.headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	parts := []string{fmt.Sprint(resp.StatusCode)}
	if err != nil {
		parts[0] += " broken off"
	}
	page := strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") && pageTag.MatchString(resp.Header.Get("Etag"))
	for _, name := range mattering {
		values := append(slices.Clone(resp.Header.Values(name)), resp.Trailer.Values(name)...)
		if len(values) == 0 || name == "Content-Length" && (page || resp.StatusCode >= 300) {
			continue
		}
		value := strings.ReplaceAll(strings.Join(values, ", "), headerURI+", ", "")
		if name == headerPath && !plain(value) || name == "Allow" && method == http.MethodOptions {
			continue
		}
		parts = append(parts, name+": "+pageTag.ReplaceAllString(value, "${1}_"))
	}
	return strings.Join(append(parts, bodyOf(resp, page, body)), " | ")
}

func bodyOf(resp *http.Response, page bool, body []byte) string {
	switch {
	case resp.StatusCode >= 300:
		return "-"
	case page:
		var links []string
		for _, m := range link.FindAllStringSubmatch(string(body), -1) {
			links = append(links, m[1])
		}
		slices.Sort(links)
		links = slices.Compact(links)
		return fmt.Sprintf("%d links %x", len(links), sha256.Sum256([]byte(strings.Join(links, "\n"))))
	case strings.HasPrefix(resp.Header.Get("Content-Type"), "application/x-tar"):
		body = entries(body)
	}
	return fmt.Sprintf("%d bytes %x", len(body), sha256.Sum256(body))
}

// entries lists a tar archive without the times in it.
func entries(archive []byte) []byte {
	var out bytes.Buffer
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err != nil {
			fmt.Fprintln(&out, err)
			return out.Bytes()
		}
		data, err := io.ReadAll(r)
		fmt.Fprintf(&out, "%s %d %o %s %x %v\n", h.Name, h.Typeflag, h.Mode, h.Linkname, sha256.Sum256(data), err)
	}
}

// recorded is the file of answers: gzip of lines "ASK => ANSWER".
const recorded = "testdata/answers.txt.gz"

func readAnswers(t testing.TB) map[string]string {
	t.Helper()
	f, err := os.Open(recorded)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		a, answer, _ := strings.Cut(lines.Text(), " => ")
		out[a] = answer
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func writeAnswers(t testing.TB, lines []string) {
	t.Helper()
	f, err := os.Create(recorded)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(z, line); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
