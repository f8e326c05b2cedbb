package explorer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/minio/sha256-simd"
)

// How long readers may keep an answer without asking again.
const (
	keepFinal = "public, max-age=31536000, immutable" // it is the same for ever
	keepAsked = "no-cache"                            // ask each time whether it still holds
	keepNone  = "no-store"
)

// Delivery is a whole answer on its way to a reader.
type Delivery struct {
	Status  int
	Content string // media type
	Body    []byte
	Tag     string // of the ETag; empty: by the body
	Final   bool   // the address has this answer for ever

	packed *packed       // the body compressed before, if it is kept
	lent   *bytes.Buffer // that Body is in, which goes on to the next answer
}

// bodies are buffers for bodies that nobody keeps, which are most: they would be
// an eighth of all that is allocated.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxLent is the longest body whose buffer is used again.
const maxLent = 1 << 20

// write makes the body: a value as JSON, in which markup is escaped.
func (d *Delivery) write(v any) {
	d.lent = bodies.Get().(*bytes.Buffer)
	d.lent.Reset()
	if err := json.NewEncoder(d.lent).Encode(v); err != nil { // answers are our own structs
		panic(fmt.Errorf("answer has no JSON form: %w", err))
	}
	d.Body = d.lent.Bytes()
}

// keep makes the body one that stays.
func (d *Delivery) keep() {
	if d.lent != nil {
		d.Body = bytes.Clone(d.Body)
		d.release()
	}
}

// release gives the body's buffer back.
func (d *Delivery) release() {
	if d.lent != nil && d.lent.Cap() <= maxLent {
		bodies.Put(d.lent)
	}
	d.lent = nil
}

// Fixed is what an address has for ever; it is compressed once for each encoding.
func Fixed(content string, body []byte) *Delivery {
	return &Delivery{Status: http.StatusOK, Content: content, Body: body, Tag: bodyTag(body), Final: true, packed: new(packed)}
}

// Deliver sends an answer: compressed if the reader takes that, and not at all
// if the reader has it. Tags are weak, since one answer has several encodings.
func Deliver(w http.ResponseWriter, r *http.Request, d *Delivery) {
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	body := d.Body
	if d.Status == http.StatusOK {
		if d.Tag == "" {
			d.Tag = bodyTag(d.Body)
		}
		h.Set("ETag", weak(d.Tag))
		if d.Final {
			h.Set("Cache-Control", keepFinal)
		}
		if has(r, d.Tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Type", d.Content)
	if len(body) >= leastPacked {
		if name := encodingOf(r.Header.Get("Accept-Encoding")); name != "" {
			h.Set("Content-Encoding", name)
			body = d.pack(name)
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(d.Status)
	if r.Method != http.MethodHead {
		w.Write(body) // the reader is gone if this fails
	}
}

// bodyTag is a tag made of an answer itself.
func bodyTag(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

func weak(tag string) string { return `W/"` + tag + `"` }

// has reports whether a reader says that it has the answer with a tag.
func has(r *http.Request, tag string) bool {
	for _, line := range r.Header.Values("If-None-Match") {
		for one := range strings.SplitSeq(line, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == `"`+tag+`"` {
				return true
			}
		}
	}
	return false
}

// leastPacked is the size below which compression is not worth its header.
const leastPacked = 1024

// encodings are those that answers come in, the dearest to us first.
var encodings = []string{"zstd", "gzip"}

// encodingOf chooses an encoding that a reader takes: the one that it likes
// best, ours among equals; empty is none.
func encodingOf(accept string) string {
	best, liked := "", 0.0
	for _, name := range encodings {
		if q := weightOf(accept, name); q > liked {
			best, liked = name, q
		}
	}
	return best
}

// weightOf is how much a reader likes an encoding, 0 to 1.
func weightOf(accept, encoding string) float64 {
	any := 0.0
	for part := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(part, ";")
		q := 1.0
		if _, v, ok := strings.Cut(params, "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(strings.TrimSpace(v), 64); err != nil || !(q >= 0 && q <= 1) {
				q = 0
			}
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case encoding:
			return q
		case "*":
			any = q
		}
	}
	return any
}

// packed is a body in the encodings that were asked for.
type packed struct {
	mu sync.Mutex
	by map[string][]byte
}

func (d *Delivery) pack(name string) []byte {
	if d.packed == nil {
		return pack(name, d.Body)
	}
	d.packed.mu.Lock()
	defer d.packed.mu.Unlock()
	if d.packed.by == nil {
		d.packed.by = map[string][]byte{}
	}
	if d.packed.by[name] == nil {
		d.packed.by[name] = pack(name, d.Body)
	}
	return d.packed.by[name]
}

// gzips are writers that wait for work: each has tables of half a megabyte.
var gzips = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is one
	}
	return w
}}

var zstds = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(128<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are right
	}
	return e
})

// zstdStreams are writers of streams that wait for work.
var zstdStreams = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(512<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are right
	}
	return e
}}

// packInto has write write through an encoding, or as it is without one. What breaks
// off has no end in its encoding either.
func packInto(to io.Writer, encoding string, write func(io.Writer) error) error {
	var pool *sync.Pool
	switch encoding {
	case "zstd":
		pool = &zstdStreams
	case "gzip":
		pool = &gzips
	default:
		return write(to)
	}
	w := pool.Get().(interface {
		io.WriteCloser
		Reset(io.Writer)
	})
	defer func() {
		w.Reset(nil)
		pool.Put(w)
	}()
	w.Reset(to)
	if err := write(w); err != nil {
		return err
	}
	return w.Close()
}

func pack(name string, body []byte) []byte {
	if name == "zstd" {
		return zstds().EncodeAll(body, make([]byte, 0, len(body)/4))
	}
	var b bytes.Buffer
	w := gzips.Get().(*gzip.Writer)
	defer gzips.Put(w)
	w.Reset(&b)
	w.Write(body) // a buffer takes all
	w.Close()
	return b.Bytes()
}
