package devnet

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/perdure/perdure/chain"
)

// Info says where the parts of a running network are: DIR/devnet.json.
type Info struct {
	ChainID string      `json:"chainId"`
	Nodes   []NodeInfo  `json:"nodes"`
	Miners  []MinerInfo `json:"miners"`
	Wallet  WalletInfo  `json:"wallet"`
}

// NodeInfo is a chain node: URLs of its API and of CometBFT's JSON-RPC, and
// ID@host:port for peers.
type NodeInfo struct {
	API string `json:"api"`
	RPC string `json:"rpc"`
	P2P string `json:"p2p"`
}

// MinerInfo is a miner: its ID (t01000), the address of owner and worker, its
// home and a libp2p address.
type MinerInfo struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	Home    string `json:"home"`
	P2P     string `json:"p2p"`
}

// WalletInfo is the client's wallet.
type WalletInfo struct {
	Address string `json:"address"`
	Home    string `json:"home"`
}

// InfoPath is where a running network of a directory says where it is.
func InfoPath(dir string) string { return filepath.Join(dir, "devnet.json") }

// Info describes the running network.
func (w *World) Info() *Info {
	network := w.Params.Network
	info := &Info{
		ChainID: w.Params.ChainID, Nodes: []NodeInfo{}, Miners: []MinerInfo{},
		Wallet: WalletInfo{Address: chain.FormatAddress(w.Client, network), Home: w.Wallet},
	}
	for _, n := range w.Nodes {
		if n.Node != nil {
			info.Nodes = append(info.Nodes, NodeInfo{API: n.API(), RPC: n.RPC(), P2P: n.Peer()})
		}
	}
	for _, m := range w.Miners {
		i := MinerInfo{ID: chain.FormatMiner(m.ID, network), Address: chain.FormatAddress(m.Owner, network), Home: m.Home}
		if addrs := m.Addrs(); len(addrs) > 0 {
			i.P2P = addrs[0]
		}
		info.Miners = append(info.Miners, i)
	}
	return info
}

// WriteInfo writes DIR/devnet.json.
func (w *World) WriteInfo() error {
	raw, err := json.MarshalIndent(w.Info(), "", "  ")
	if err != nil {
		return fmt.Errorf("write devnet.json: %w", err)
	}
	path := InfoPath(w.dir)
	if err := os.WriteFile(path+".new", append(raw, '\n'), 0o644); err != nil {
		return fmt.Errorf("write devnet.json: %w", err)
	}
	return os.Rename(path+".new", path)
}

// Wait returns when ctx ends, without an error, or when a part of the network
// stops by itself, with its error.
func (w *World) Wait(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(w.Nodes)+len(w.Miners))
	for i, n := range w.Nodes {
		go watch(ctx, n.done, failed, fmt.Sprintf("node %d", i), func() bool { return false })
	}
	for _, m := range w.Miners {
		go watch(ctx, m.done, failed, "miner "+chain.FormatMiner(m.ID, w.Params.Network), m.stopped.Load)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// watch reports the end of a part unless it was meant to stop, and leaves what
// it ended with to whoever stops it.
func watch(ctx context.Context, done chan error, failed chan<- error, name string, meant func() bool) {
	select {
	case err := <-done:
		done <- err
		if meant() {
			return
		}
		failed <- fmt.Errorf("%s stopped by itself: %w", name, err)
	case <-ctx.Done():
	}
}
