package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/ipfs/boxo/routing/http/filters"
	"github.com/ipfs/boxo/routing/http/types"
	"github.com/ipfs/boxo/routing/http/types/iter"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// The media types of delegated routing.
const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
)

// protocolRetrieve marks a provider that sells by Perdure's own protocol,
// protocolGateway one that gives at its HTTP addresses what a trustless gateway does.
const (
	protocolRetrieve = "transport-perdure"
	protocolGateway  = "transport-ipfs-gateway-http"
)

// maxProviders is the most providers that one answer names.
const maxProviders = 100

// providers answers /routing/v1/providers/CID
// (https://specs.ipfs.tech/routing/http-routing-v1/): JSON, or a line for each
// provider if NDJSON is accepted.
func (h *handler) providers(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem{Title: "method not allowed", Status: http.StatusMethodNotAllowed, Detail: "providers are only read"}.write(w)
		return
	}
	c, err := cid.Decode(r.PathValue("cid"))
	if err != nil {
		problem{Title: "no CID", Status: http.StatusBadRequest, Detail: err.Error()}.write(w)
		return
	}
	media, err := acceptedType(r.Header.Values("Accept"))
	if err != nil {
		problem{Title: "not acceptable", Status: http.StatusNotAcceptable, Detail: err.Error()}.write(w)
		return
	}
	found, err := h.source.Providers(r.Context(), c)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	records := filtered(found[:min(len(found), maxProviders)], r)
	age := "public, max-age=300, stale-while-revalidate=172800, stale-if-error=172800"
	if len(records) == 0 {
		age = "public, max-age=15, stale-while-revalidate=172800, stale-if-error=172800"
	}
	w.Header().Set("Cache-Control", age)
	w.Header().Set("Vary", "Accept")
	w.Header().Set("Content-Type", media)
	if err := writeRecords(w, media, records); err != nil {
		h.log.Debug("write providers", "err", err) // the reader is gone
	}
}

// acceptedType chooses between the two forms.
func acceptedType(accept []string) (string, error) {
	if len(accept) == 0 {
		return typeJSON, nil
	}
	plain := false
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		switch media, _, err := mime.ParseMediaType(item); {
		case err != nil:
			return "", fmt.Errorf("Accept %q: %w", item, err)
		case media == typeNDJSON:
			return typeNDJSON, nil
		case media == typeJSON, media == "application/*", media == "*/*":
			plain = true
		}
	}
	if !plain {
		return "", fmt.Errorf("none of %s is %s or %s", strings.Join(accept, ","), typeJSON, typeNDJSON)
	}
	return typeJSON, nil
}

// filtered makes records of providers and leaves out what the request does not
// want (IPIP-484).
func filtered(found []Provider, r *http.Request) []types.Record {
	var all []iter.Result[types.Record]
	for _, p := range found {
		if record, ok := recordOf(p); ok {
			all = append(all, iter.Result[types.Record]{Val: record})
		}
	}
	query := r.URL.Query()
	kept := filters.ApplyFiltersToIter(iter.FromSlice(all),
		filters.ParseFilter(query.Get("filter-addrs")), filters.ParseFilter(query.Get("filter-protocols")))
	out := []types.Record{}
	for kept.Next() {
		out = append(out, kept.Val().Val)
	}
	return out
}

// recordOf reads a provider's addresses; false: they are not those of one peer.
func recordOf(p Provider) (*types.PeerRecord, bool) {
	record := &types.PeerRecord{Schema: types.SchemaPeer, Addrs: []types.Multiaddr{}, Protocols: p.Protocols}
	for _, text := range p.Addrs {
		info, err := peer.AddrInfoFromString(text)
		if err != nil || record.ID != nil && *record.ID != info.ID {
			return nil, false
		}
		record.ID = &info.ID
		for _, a := range info.Addrs {
			record.Addrs = append(record.Addrs, types.Multiaddr{Multiaddr: a})
		}
	}
	return record, record.ID != nil
}

// samePeer reports whether two addresses end in the same peer ID.
func samePeer(a, b string) bool {
	return a[strings.LastIndexByte(a, '/')+1:] == b[strings.LastIndexByte(b, '/')+1:]
}

func writeRecords(w io.Writer, media string, records []types.Record) error {
	out := json.NewEncoder(w)
	if media == typeJSON {
		return out.Encode(struct{ Providers []types.Record }{records})
	}
	for _, record := range records {
		if err := out.Encode(record); err != nil {
			return err
		}
	}
	return nil
}
