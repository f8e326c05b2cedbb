package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/porep/piece"
)

// piece answers /piece/PIECECID with the bytes of a piece up to where its zeros
// begin. CIDs of both versions name the same bytes; one of version 2 has to name
// their number, too. Ranges, If-None-Match and HEAD are as HTTP has them.
func (h *handler) piece(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem{Title: "method not allowed", Status: http.StatusMethodNotAllowed, Detail: "pieces are only read"}.write(w)
		return
	}
	want, err := parsePiece(r.PathValue("cid"))
	if err != nil {
		problem{Title: "no piece CID", Status: http.StatusBadRequest, Detail: err.Error()}.write(w)
		return
	}
	status, err := h.source.Status(r.Context(), want.CID)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if refuse(w, r, want.CID, status) {
		return
	}
	p, err := h.source.Piece(r.Context(), want.CID)
	if errors.Is(err, ErrNotFound) {
		notHeld(w, want.CID)
		return
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	defer p.Close()
	size, err := p.Seek(0, io.SeekEnd)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if want.PaddedSize != 0 && uint64(size) != want.PayloadSize {
		notHeld(w, want.CID)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Etag", `"`+r.PathValue("cid")+`"`)
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	header.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", want.CID.String()+".piece"))
	http.ServeContent(w, r, "", time.Time{}, p)
}

func notHeld(w http.ResponseWriter, c cid.Cid) {
	problem{Title: "not found", Status: http.StatusNotFound, Detail: fmt.Sprintf("no piece %s of that size is held here", c)}.write(w)
}

// parsePiece reads a piece CID. Of one of version 1 only the CID is known.
func parsePiece(text string) (piece.Info, error) {
	c, err := cid.Decode(text)
	if err != nil {
		return piece.Info{}, err
	}
	if _, err := piece.ParseUnsealedCID(c); err == nil {
		return piece.Info{CID: c}, nil
	}
	return piece.ParseCIDv2(c)
}
