package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"os"
	"strings"
	"time"

	"github.com/perdure/perdure/porep/piece"
)

// stallTime is how long a gateway may be silent.
const stallTime = 30 * time.Second

// downloadPiece gets a piece that no seller is known of from gateways, one after the
// other. What an earlier try left is gone on with; what came is the piece by its
// commitment, or none of it is kept.
func (g *getting) downloadPiece(ctx context.Context) (*keptPiece, error) {
	file, err := os.OpenFile(g.c.records.FetchPath(g.r.Root.String())+".piece", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	errs := []error{ErrNotStored}
	for _, url := range g.c.cfg.Gateways {
		url = strings.TrimRight(url, "/")
		size, err := g.download(ctx, url+"/piece/"+g.r.Root.String(), file)
		if err == nil {
			return &keptPiece{file: file, size: size}, nil
		}
		errs = append(errs, fmt.Errorf("gateway %s: %w", url, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(append(errs, file.Close())...)
}

// download gets what is missing of a piece from one gateway and checks it.
func (g *getting) download(ctx context.Context, url string, file *os.File) (uint64, error) {
	have, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if err := g.receive(ctx, url, file, have); err != nil {
		return 0, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	got, err := piece.Commit(file)
	if err != nil {
		return 0, err
	}
	if !got.CID.Equals(g.r.Root) {
		return 0, errors.Join(fmt.Errorf("what came is piece %s", got.CID), file.Truncate(0))
	}
	return got.PayloadSize, nil
}

// receive appends what follows have bytes of a URL's content, or writes all of it.
func (g *getting) receive(ctx context.Context, url string, file *os.File, have int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stalled := time.AfterFunc(stallTime, cancel)
	defer stalled.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var at *neturl.Error
		if errors.As(err, &at) { // which names all of the URL
			err = at.Err
		}
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent && have > 0:
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && have > 0: // all of it is here
		return nil
	case resp.StatusCode == http.StatusOK:
		have = 0
		if err := file.Truncate(0); err != nil {
			return err
		}
	default:
		return errors.New(resp.Status)
	}
	if _, err := file.Seek(have, io.SeekStart); err != nil {
		return err
	}
	most := int64(piece.MaxPayload(piece.MaxPadded)) - have
	n, err := io.Copy(file, io.LimitReader(&lively{resp.Body, stalled}, most))
	g.r.Bytes += uint64(n)
	return err
}

// lively puts off the end of a download with every byte that comes.
type lively struct {
	io.Reader
	end *time.Timer
}

func (l *lively) Read(b []byte) (int, error) {
	n, err := l.Reader.Read(b)
	if n > 0 {
		l.end.Reset(stallTime)
	}
	return n, err
}
