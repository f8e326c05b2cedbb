package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// kuboNode is an IPFS node that talks to nobody by itself.
type kuboNode struct {
	path, repo string
	daemon     program
}

// kuboPair is two nodes that are connected; one has the file.
type kuboPair struct {
	from, to *kuboNode
	root     string
	size     uint64
}

// kuboSettings keep a node on loopback.
var kuboSettings = [][2]string{
	{"Bootstrap", `[]`}, {"Addresses.Gateway", `[]`}, {"Addresses.API", `"/ip4/127.0.0.1/tcp/0"`},
	{"Addresses.Swarm", `["/ip4/127.0.0.1/tcp/0"]`}, {"Routing.Type", `"none"`}, {"AutoConf.Enabled", `false`},
	{"AutoTLS.Enabled", `false`}, {"Discovery.MDNS.Enabled", `false`}, {"Swarm.DisableNatPortMap", `true`}, {"DNS.Resolvers", `{}`},
	{"Routing.DelegatedRouters", `[]`}, {"Ipns.DelegatedPublishers", `[]`},
}

func startKubo(ctx context.Context, m *market, path string) (*kuboPair, error) {
	m.cfg.Log("starting two nodes of kubo")
	p := &kuboPair{size: m.cfg.Size}
	var err error
	if p.from, err = newKubo(ctx, path, filepath.Join(m.cfg.Dir, "kubo-from")); err != nil {
		return nil, err
	}
	if p.to, err = newKubo(ctx, path, filepath.Join(m.cfg.Dir, "kubo-to")); err != nil {
		return nil, err
	}
	p.root, err = p.from.run(ctx, "add", "-Q", "--cid-version=1", "--raw-leaves", "--chunker=size-262144", m.path)
	if err != nil {
		return nil, err
	}
	if want := m.packed.Root.String(); p.root != want {
		return nil, fmt.Errorf("kubo names the file %s, its root here is %s", p.root, want)
	}
	for _, n := range []*kuboNode{p.from, p.to} {
		if err := n.start(ctx); err != nil {
			return nil, err
		}
		m.others = append(m.others, n.daemon)
	}
	id, err := p.from.run(ctx, "id", "-f", "<id>")
	if err != nil {
		return nil, err
	}
	addrs, err := p.from.run(ctx, "swarm", "addrs", "local")
	if err != nil {
		return nil, err
	}
	addr, _, _ := strings.Cut(addrs, "\n")
	_, err = p.to.run(ctx, "swarm", "connect", strings.TrimSuffix(addr, "/p2p/"+id)+"/p2p/"+id)
	return p, err
}

func newKubo(ctx context.Context, path, repo string) (*kuboNode, error) {
	n := &kuboNode{path: path, repo: repo}
	if _, err := n.run(ctx, "init"); err != nil {
		return nil, err
	}
	for _, s := range kuboSettings {
		if _, err := n.run(ctx, "config", "--json", s[0], s[1]); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *kuboNode) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, n.path, args...)
	cmd.Env = append(os.Environ(), "IPFS_PATH="+n.repo, "IPFS_TELEMETRY=off")
	return cmd
}

func (n *kuboNode) run(ctx context.Context, args ...string) (string, error) {
	cmd := n.command(ctx, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ipfs %s: %w: %s", args[0], err, errs.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// start runs the node and waits until it answers.
func (n *kuboNode) start(ctx context.Context) error {
	n.daemon = program{n.command(context.WithoutCancel(ctx), "daemon")}
	if err := n.daemon.cmd.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if _, err := os.Stat(filepath.Join(n.repo, "api")); err == nil {
			if _, err = n.run(ctx, "swarm", "addrs", "local"); err == nil {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the node in %s does not start", n.repo)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// cat reads the file through the node that does not have it, which then forgets it.
func (p *kuboPair) cat(ctx context.Context) (s spent, err error) {
	cmd := p.to.command(ctx, "cat", p.root)
	from, to, start := p.from.daemon.processor(), p.to.daemon.processor(), time.Now()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return s, err
	}
	if err := cmd.Start(); err != nil {
		return s, err
	}
	n, err := io.Copy(io.Discard, out)
	if werr := cmd.Wait(); err == nil {
		err = werr
	}
	s.clock = time.Since(start).Seconds()
	s.buyer, s.seller = p.to.daemon.processor()-to+used(cmd), p.from.daemon.processor()-from
	if err == nil && uint64(n) != p.size {
		err = fmt.Errorf("%d bytes of %d", n, p.size)
	}
	if err != nil {
		return s, fmt.Errorf("ipfs cat: %w", err)
	}
	_, err = p.to.run(ctx, "repo", "gc", "-q")
	return s, err
}
