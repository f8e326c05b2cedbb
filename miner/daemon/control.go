package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"syscall"

	"github.com/perdure/perdure/chain"
)

// pathAsk is where a running daemon takes another offer.
const pathAsk = "/v1/ask"

// maxControl bounds what is sent to a daemon's API.
const maxControl = 1 << 16

// setAsk answers POST /v1/ask: it makes another offer the one to keep, and
// notes it in the config file. Only JSON is taken, which a web page of another
// origin cannot send without being asked first.
func (d *Daemon) setAsk(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != "application/json" {
		answer(w, nil, errors.New("want application/json"))
		return
	}
	var ask AskConfig
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControl))
	in.DisallowUnknownFields()
	err := in.Decode(&ask)
	if err == nil {
		err = d.asks.use(ask)
	}
	if err == nil {
		err = saveAsk(d.opts.Home, ask)
	}
	answer(w, ask, err)
}

func saveAsk(home string, ask AskConfig) error {
	if _, err := ask.bytes(); err != nil {
		return err
	}
	cfg, err := LoadConfig(ConfigPath(home))
	if err != nil {
		return err
	}
	cfg.Ask = ask
	return cfg.Save(ConfigPath(home))
}

// ReadInfo returns what the daemon of a home last said of itself.
func ReadInfo(home string) (*Info, error) {
	raw, err := os.ReadFile(InfoPath(home))
	if err != nil {
		return nil, fmt.Errorf("read miner's whereabouts: %w", err)
	}
	info := new(Info)
	if err := json.Unmarshal(raw, info); err != nil {
		return nil, fmt.Errorf("read miner's whereabouts %s: %w", InfoPath(home), err)
	}
	return info, nil
}

// ChangeAsk makes another offer the one that the miner of a home keeps in the
// book. A running daemon acts on it at once, which is reported; otherwise it
// stands in the config file for its next start.
func ChangeAsk(ctx context.Context, home string, ask AskConfig) (running bool, err error) {
	if running, err = tellAsk(ctx, home, ask); running || err != nil {
		return running, err
	}
	if err := saveAsk(home, ask); err != nil {
		return false, err
	}
	// A daemon that starts reads the offer again after it can be told of one: it
	// did so after the file was written, or it can be told now.
	return tellAsk(ctx, home, ask)
}

// tellAsk gives another offer to the daemon of a home, if one runs.
func tellAsk(ctx context.Context, home string, ask AskConfig) (running bool, err error) {
	info, err := ReadInfo(home)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, info.API+pathAsk, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) { // it was stopped or killed
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("tell the running miner: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 300 {
		return true, nil
	}
	var p struct{ Detail string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxControl)).Decode(&p); err != nil || p.Detail == "" {
		p.Detail = resp.Status
	}
	return true, fmt.Errorf("the running miner refuses: %s", p.Detail)
}

// reread takes the offer from the config file, which may have been changed since
// the daemon read it and before it could be told.
func (a *asks) reread(home string) error {
	cfg, err := LoadConfig(ConfigPath(home))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.use(cfg.Ask)
}

// MinerOf returns the miner that a home belongs to, and the URL of its node.
func MinerOf(home string) (chain.MinerID, string, error) {
	cfg, err := LoadConfig(ConfigPath(home))
	if err != nil {
		return 0, "", err
	}
	id, err := chain.ParseMiner(cfg.Miner)
	return id, cfg.Node, err
}
