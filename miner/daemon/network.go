package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/p2p"
)

// P2PConfig says how the miner gets past the routers between it and others.
type P2PConfig struct {
	NAT     string   `toml:"nat"`      // auto: found out; private or public: known; off
	PortMap bool     `toml:"port_map"` // ask the router for ports, by UPnP and NAT-PMP
	Relays  []string `toml:"relays"`   // multiaddrs, with peer IDs, of relays to use before other miners
	Relay   bool     `toml:"relay"`    // relay for others, within bounds, if strangers reach the miner
}

// HostConfig is what the config says of the miner's host; the identity and the
// peers that may help are the caller's to fill in.
func (c Config) HostConfig() (p2p.Config, error) {
	mode, err := p2p.ParseMode(c.P2P.NAT)
	if err != nil {
		return p2p.Config{}, fmt.Errorf("p2p.nat: %w", err)
	}
	return p2p.Config{Listen: c.Listen, Announce: c.Announce, NAT: p2p.NAT{
		Mode: mode, Relays: c.P2P.Relays, NoPortMap: !c.P2P.PortMap, NoRelayService: !c.P2P.Relay,
	}}, nil
}

// openNetwork starts the host.
func (d *Daemon) openNetwork(context.Context) error {
	cfg, err := d.opts.Config.HostConfig()
	if err != nil {
		return err
	}
	cfg.NAT.Peers = d.otherMiners
	if cfg.Identity, err = p2p.LoadIdentity(IdentityPath(d.opts.Home)); err != nil {
		return err
	}
	if d.host, err = p2p.New(cfg); err != nil {
		return err
	}
	d.parts.OnClose("host", d.host.Close)
	return nil
}

// otherMiners names where other miners are.
func (d *Daemon) otherMiners(ctx context.Context, most int) []chain.Peer {
	peers, err := p2p.MinerPeers(ctx, d.node, most)
	if err != nil && ctx.Err() == nil {
		d.log.Warn("ask for other miners", "err", err)
	}
	return peers
}

// pathNet is where a running daemon says how strangers reach it (GET), and finds out
// (POST).
const pathNet = "/v1/net"

// probe answers POST /v1/net. Only JSON is taken, which a web page of another
// origin cannot send without being asked first.
func (d *Daemon) probe(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != "application/json" {
		answer(w, nil, errors.New("want application/json"))
		return
	}
	report, err := d.host.Probe(r.Context())
	answer(w, report, err)
}

// probePatience is how long a running daemon may take to find out.
const probePatience = 3 * time.Minute

// RunningProbe has the daemon of a home find out how strangers reach it. It
// reports false if none runs.
func RunningProbe(ctx context.Context, home string) (report *p2p.Report, running bool, err error) {
	info, err := ReadInfo(home)
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, info.API+pathNet, bytes.NewReader([]byte("{}")))
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) { // it was stopped or killed
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("ask the running miner: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, true, fmt.Errorf("ask the running miner how it is reached: %s", resp.Status)
	}
	report = new(p2p.Report)
	if err := json.NewDecoder(resp.Body).Decode(report); err != nil {
		return nil, true, fmt.Errorf("read the running miner's answer: %w", err)
	}
	return report, true, nil
}
