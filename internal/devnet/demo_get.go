package devnet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
)

// get fetches the file back and pays for each chunk.
func (d *Demo) get(ctx context.Context, path string) error {
	dest := filepath.Join(d.o.World.Dir, "fetched")
	d.say("fetching it back from the miners, paying chunk by chunk")
	root, err := cid.Decode(d.report.RootCID)
	if err != nil {
		return err
	}
	begun := time.Now()
	got, err := d.client.Get(ctx, root, dest, client.GetOptions{})
	if err != nil {
		return err
	}
	sum, size, err := digest(ctx, dest)
	if err != nil {
		return fmt.Errorf("read what was fetched: %w", err)
	}
	d.report.Retrieval = ReportRetrieval{Bytes: got.Bytes, Chunks: got.Chunks, ChunkPrice: got.ChunkPrice, Paid: got.Paid,
		SHA256: sum, Seconds: time.Since(begun).Seconds()}
	d.say("fetched %s: %d chunks at %s each", bytesText(size), got.Chunks, got.ChunkPrice.Human())
	return nil
}

// patience is for how many blocks miners may take to redeem what they earned.
const patience = 120

// redeem waits until the miners have taken what was paid to the chain.
func (d *Demo) redeem(ctx context.Context, _ string) error {
	var sum chain.Amount
	var err error
	last := d.seen.Height() + patience
	waitErr := d.seen.Wait(ctx, func() bool {
		sum, err = d.seen.Redeemed(d.World.Client)
		return err != nil || !sum.Less(d.report.Retrieval.Paid) || d.seen.Height() >= last
	})
	d.report.Retrieval.Redeemed = sum
	if waitErr != nil {
		return waitErr
	}
	if err == nil {
		d.say("the miners have redeemed %s on chain", sum.Human())
	}
	return err
}

// fileDigest is the SHA-256 and size of a file.
func fileDigest(path string) (string, uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), uint64(n), err
}

// maxMetas is how many blocks CometBFT describes in one answer.
const maxMetas = 20

// blockBytes sums the sizes of all blocks up to a height, as CometBFT says them.
func blockBytes(ctx context.Context, rpc string, height chain.Height) (uint64, error) {
	web := &http.Client{Transport: new(http.Transport)}
	defer web.CloseIdleConnections()
	var sum uint64
	for from := chain.Height(1); from <= height; from += maxMetas {
		q := url.Values{"minHeight": {fmt.Sprint(from)}, "maxHeight": {fmt.Sprint(min(from+maxMetas-1, height))}}
		n, err := metaBytes(ctx, web, rpc+"/blockchain?"+q.Encode())
		if err != nil {
			return 0, fmt.Errorf("read sizes of blocks: %w", err)
		}
		sum += n
	}
	return sum, nil
}

// maxAnswer bounds one answer in bytes.
const maxAnswer = 4 << 20

func metaBytes(ctx context.Context, web *http.Client, url string) (uint64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := web.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Result struct {
			Metas []struct {
				Size string `json:"block_size"`
			} `json:"block_metas"`
		} `json:"result"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil {
		return 0, err
	}
	var sum uint64
	for _, m := range answer.Result.Metas {
		n, err := strconv.ParseUint(m.Size, 10, 63)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
