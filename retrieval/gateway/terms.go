package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/retrieval"
)

// settle answers what is not free, or is asked for in a way that nobody needs,
// before next sees it.
func (h *handler) settle(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := newAnswer(w, r)
		defer a.finish() // nothing may have been written
		p, ok := contentPath(r)
		if !ok {
			next.ServeHTTP(a, r)
			return
		}
		if n := len(p.Segments()) - 2; n > maxSegments {
			problem{Title: "path too long", Status: http.StatusRequestURITooLong,
				Detail: fmt.Sprintf("the path has %d components, at most %d are followed", n, maxSegments)}.write(w)
			return
		}
		w.Header().Set(headerURI, uriOf(p))
		status, err := h.source.Status(r.Context(), p.RootCid())
		if err != nil {
			h.fail(a, r, err)
			return
		}
		if refuse(a, r, p.RootCid(), status) {
			return
		}
		r, a.walk = h.memory.begin(r)
		defer a.walk.end()
		next.ServeHTTP(a, r)
	})
}

// problem is the body of a refusal (RFC 9457). Those with 402 add what to pay, in
// our terms and in the form of x402.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	*offer
}

// offer is what a request that has to be paid for is told.
type offer struct {
	Terms       saleTerms `json:"terms"`
	X402Version int       `json:"x402Version"`
	Accepts     []accept  `json:"accepts"`
}

type saleTerms struct {
	Terms
	Unit     string `json:"unit"`
	Protocol string `json:"protocol"` // of libp2p streams to the peer
	Fetch    string `json:"fetch"`    // the command that does it
}

// accept is a way of paying as x402 lists it.
type accept struct {
	Scheme            string `json:"scheme"`
	Network           string `json:"network"`
	MaxAmountRequired string `json:"maxAmountRequired"`
	Asset             string `json:"asset"`
	PayTo             string `json:"payTo"`
	Resource          string `json:"resource"`
	Description       string `json:"description"`
	MimeType          string `json:"mimeType"`
	MaxTimeoutSeconds int    `json:"maxTimeoutSeconds"`
}

// priceUnit says what a price is for.
const priceUnit = "attoPDR per chunk of up to 262144 bytes"

// refuse answers a request for what is not free, or reports false.
func refuse(w http.ResponseWriter, r *http.Request, c cid.Cid, s Status) bool {
	p := problem{}
	switch s.State {
	case Priced:
		p.Title, p.Status = "payment required", http.StatusPaymentRequired
		p.Detail = fmt.Sprintf("%s is sold for %s %s; HTTP carries only what is free", c, s.Terms.Price, priceUnit)
		p.offer = offerOf(r, c, s.Terms)
	case Ended:
		p.Title, p.Status = "gone", http.StatusGone
		p.Detail = fmt.Sprintf("the deal under which %s was held here has ended", c)
	case Waiting:
		p.Title, p.Status = "not yet", http.StatusServiceUnavailable
		p.Detail = fmt.Sprintf("%s is held here and cannot be given out yet", c)
		w.Header().Set("Retry-After", seconds(s.Retry))
	default:
		return false
	}
	w.Header().Set("Cache-Control", "no-store")
	p.write(w)
	return true
}

func offerOf(r *http.Request, c cid.Cid, t Terms) *offer {
	fetch := "perdure get " + c.String()
	return &offer{
		Terms:       saleTerms{t, priceUnit, retrieval.Protocol, fetch},
		X402Version: 1,
		Accepts: []accept{{
			Scheme: "perdure-ticks", Network: t.ChainID, MaxAmountRequired: t.Price.String(), Asset: "attoPDR", PayTo: t.Payee,
			Resource: r.URL.Path, Description: "pay chunk by chunk over " + retrieval.Protocol + ": " + fetch,
			MimeType: "application/vnd.ipld.car", MaxTimeoutSeconds: 60,
		}},
	}
}

func (p problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p) // the reader is gone if this fails
}

// fail answers that something went wrong here. Why is for the log: it may name
// files.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, r.Context().Err()) {
		return // nobody listens any more
	}
	h.log.Error("answer request", "path", r.URL.Path, "err", err)
	problem{Title: "internal error", Status: http.StatusInternalServerError, Detail: "the content could not be read"}.write(w)
}

// seconds writes a duration for Retry-After: whole seconds, at least one.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}
