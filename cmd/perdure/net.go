package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner/daemon"
	"github.com/perdure/perdure/retrieval/p2p"
)

// newNetCommand returns the group of commands about the peer-to-peer network.
func newNetCommand(g *globals) *cobra.Command {
	return newGroup("net", "Find out whether strangers reach this machine", "Find out whether strangers reach this machine.", newNetCheck(g))
}

// netCheckFlags are the flags of net check.
type netCheckFlags struct {
	listen []string
	peers  []string
}

// newNetCheck returns the command that tells a home miner whether it is reached.
func newNetCheck(g *globals) *cobra.Command {
	var f netCheckFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Tell whether strangers reach the miner, and why not",
		Long: `Tell whether strangers reach the miner of --home: where it listens, how peers see it, whether
they could dial it back, whether the router gave it ports, whether a relay has a place for it, and
whether holes were punched. What is wrong comes with what to do.

If the miner runs, it is asked; otherwise its host is started for the time of the check, with its
config. Where no miner lives yet, the check is that of one that listens on port 4001, or on --listen.
The other miners of the chain are the peers that are asked, and those of --peer.

It takes up to a minute and a half. Exit code 0: strangers reach it, directly or by a relay; 1: they do not.`,
		Example: `  perdure net check --home ~/miner
  perdure net check --listen /ip4/0.0.0.0/tcp/4001,/ip4/0.0.0.0/udp/4001/quic-v1 --node https://node.example`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runNetCheck(cmd, g, f) },
	}
	cmd.Flags().StringSliceVar(&f.listen, "listen", nil, "libp2p multiaddrs to try where no miner lives yet (default port 4001 of all interfaces)")
	cmd.Flags().StringSliceVar(&f.peers, "peer", nil, "multiaddrs, with peer IDs, of peers to ask beside the chain's miners")
	return cmd
}

func runNetCheck(cmd *cobra.Command, g *globals, f netCheckFlags) error {
	report, running, err := daemon.RunningProbe(cmd.Context(), g.Home)
	if err != nil {
		return err
	}
	if !running {
		if report, err = probeAlone(cmd.Context(), g, f); err != nil {
			return err
		}
	}
	v := judge(report)
	v.Running = running
	if g.JSON {
		if err := writeJSON(cmd, v); err != nil {
			return err
		}
	} else {
		v.write(cmd.OutOrStdout())
	}
	if !v.Reachable {
		return refused()
	}
	return nil
}

// probeAlone starts the host of the miner of --home for the time of the check.
func probeAlone(ctx context.Context, g *globals, f netCheckFlags) (*p2p.Report, error) {
	cfg, err := daemon.LoadConfig(daemon.ConfigPath(g.Home))
	identity := daemon.IdentityPath(g.Home)
	if errors.Is(err, fs.ErrNotExist) {
		if cfg, identity, err = noMiner(f.listen); err == nil {
			defer os.RemoveAll(filepath.Dir(identity))
		}
	} else if err == nil && len(f.listen) > 0 {
		err = usage(fmt.Errorf("--listen: a miner lives in %s, its config.toml says where it listens", g.Home))
	}
	if err != nil {
		return nil, err
	}
	host, err := cfg.HostConfig()
	if err != nil {
		return nil, err
	}
	if host.Identity, err = p2p.LoadIdentity(identity); err != nil {
		return nil, err
	}
	asked := *g
	if asked.Node == "" {
		asked.Node = cfg.Node
	}
	node := asked.plain()
	defer node.Close()
	host.NAT.Relays = append(f.peers, host.NAT.Relays...)
	host.NAT.Peers = func(ctx context.Context, most int) []chain.Peer {
		peers, err := p2p.MinerPeers(ctx, node, most)
		if err != nil {
			return nil // without a node those of --peer are asked
		}
		return peers
	}
	h, err := p2p.New(host)
	if err != nil {
		return nil, err
	}
	report, err := h.Probe(ctx)
	return &report, errors.Join(err, h.Close())
}

// noMiner is the config of a miner that does not live yet, and where its identity
// is, in a directory of its own.
func noMiner(listen []string) (daemon.Config, string, error) {
	cfg := daemon.DefaultConfig()
	cfg.Listen = listen
	if len(listen) == 0 {
		cfg.Listen = p2p.AllAddrs(daemon.ListenPort)
	}
	dir, err := os.MkdirTemp("", "perdure-net-*")
	if err != nil {
		return cfg, "", fmt.Errorf("make a place for a key: %w", err)
	}
	return cfg, filepath.Join(dir, "identity"), nil
}
