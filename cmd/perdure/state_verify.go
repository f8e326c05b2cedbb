package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/rpc/light"
	"github.com/perdure/perdure/chain/state/proof"
)

// newStateVerify returns the command that checks proofs and answers that carry one.
func newStateVerify(g *globals) *cobra.Command {
	var appHash string
	cmd := &cobra.Command{
		Use:   "verify URL|FILE [PATH] [--trust HEIGHT:HASH | --app-hash HEX]",
		Short: "Check an answer of the API, or a proof as a file, field by field", Args: cobra.RangeArgs(1, 3),
		Long: `Check what somebody says of the chain, and show the record that is proven.

A URL is one of an account, a miner, a sector, a deal, an order, a channel, the supply or
the parameters, under /v1 of any node: it is asked with ?proof=true. A FILE, - for standard
input, is such an answer in JSON, or a proof that perdure state proof wrote. Of an answer
each field is compared with the proven record; those that no record holds are listed as
not proven. With PATH the proof must be of that record.

The header of --trust is the one after the state, or an older one within the network's
trust period: each header on the way is signed by validators of the one before. A file of
state proof --trust has that way and needs no node. An answer has none: headers on the way
are asked of the node of the URL, or of --node, which is not believed.
Without --trust the first header that was ever seen of a chain is trusted (HOME/pins.json).
--app-hash trusts the app hash of the state itself, whatever the headers say.

Exit code 1 if something is not as the proof says, or nothing is proven; 2 for a wrong
command line.

` + stateKeys,
		Example: "  perdure state verify https://explorer.example/v1/deals/17\n" +
			"  curl -s \"$NODE/v1/deals/17?proof=true\" | perdure state verify - deal/17\n" +
			"  perdure state verify deal.proof deal/17 --trust 1200:6F0C...",
		RunE: func(cmd *cobra.Command, args []string) error { return runStateVerify(cmd, g, args, appHash) },
	}
	cmd.Flags().StringVar(&appHash, "app-hash", "", "app hash of the state, in hexadecimal")
	return cmd
}

// claim is what is to be verified.
type claim struct {
	name   string
	bundle *proof.Bundle
	answer []byte      // in JSON; nil: there is only the proof
	kind   string      // of the answer, as it says itself
	node   *rpc.Client // that knows headers on the way; not believed
}

func runStateVerify(cmd *cobra.Command, g *globals, args []string, appHash string) error {
	trust, err := g.trusted()
	if err != nil {
		return err
	}
	if g.Trust != "" && appHash != "" {
		return usage(errors.New("give one of what you trust: --trust HEIGHT:HASH or --app-hash HEX"))
	}
	top, err := hex.DecodeString(appHash)
	if err != nil {
		return usage(fmt.Errorf("--app-hash: %w", err))
	}
	c, err := readClaim(cmd, g, args[0])
	if err != nil {
		return err
	}
	defer c.node.Close()
	if c.answer == nil && trust.IsZero() && appHash == "" {
		return usage(errors.New("give what you trust: --trust HEIGHT:HASH or --app-hash HEX"))
	}
	if err := c.about(args[1:]); err != nil {
		return err
	}
	out, shown, err := c.check(cmd.Context(), g, trust, top)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	if err := c.compare(out, shown); err != nil {
		return err
	}
	return answer(cmd, g, out)
}

// readClaim reads a file, or asks a URL with its proof.
func readClaim(cmd *cobra.Command, g *globals, from string) (*claim, error) {
	c := &claim{name: from, node: g.plain()}
	raw, err := c.fetch(cmd, from)
	if err == nil && len(raw) > 0 && strings.ContainsRune("{[ \t\r\n", rune(raw[0])) {
		c.answer = raw
		var p *explorer.Proof
		if p, err = explorer.ProofOf(raw); err == nil {
			raw, c.kind = p.Bundle, p.Answer
		}
	}
	if err == nil {
		c.bundle, err = proof.DecodeBundle(raw)
	}
	if err != nil {
		c.node.Close()
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return c, nil
}

// maxClaim bounds an answer: its proof in base64, and as much again.
const maxClaim = 3 * proof.MaxBundle

// fetch reads the bytes of a claim. The node of a URL is the one to be asked
// for headers on the way.
func (c *claim) fetch(cmd *cobra.Command, from string) ([]byte, error) {
	u, err := url.Parse(from)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		in, err := openInput(cmd, from)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		return io.ReadAll(io.LimitReader(in, maxClaim))
	}
	base, _, known := strings.Cut(u.Path, "/v1/")
	if !known {
		return nil, fmt.Errorf("want the URL of an answer below /v1, have the path %q", u.Path)
	}
	q := u.Query()
	q.Set("proof", "true")
	path := strings.TrimPrefix(u.EscapedPath(), base) + "?" + q.Encode()
	c.node.Close()
	c.node = rpc.New(u.Scheme + "://" + u.Host + base)
	return c.node.Text(cmd.Context(), path, maxClaim)
}

// about makes sure that a claim is about what was asked for: by the path of the
// record, and by the URL.
func (c *claim) about(path []string) error {
	keys := map[string]chain.Key{}
	if len(path) > 0 {
		k, err := parseStateKey(path)
		if err != nil {
			return err
		}
		keys["PATH"] = k
	}
	if k, ok := keyOfURL(c.name); ok {
		keys["URL"] = k
	}
	for _, k := range keys {
		if k != c.bundle.Key() {
			return fmt.Errorf("%s: expected a proof of %s, found one of %s", c.name,
				chain.FormatPath(k, chain.Testnet), chain.FormatPath(c.bundle.Key(), chain.Testnet))
		}
	}
	return nil
}

// provable are the answers that carry proofs, by what stands in their URLs behind /v1:
// the kind of the answer, and where the path of its record begins.
var provable = map[string]struct{ kind, record string }{
	"accounts": {"account", "account/"}, "miners": {"miner", "miner/"}, "sectors": {"sector", "sector/"}, "deals": {"deal", "deal/"},
	"orders": {"order", "order/"}, "channels": {"channel", "channel/"}, "supply": {"supply", "global"}, "params": {"params", "global"},
	"state": {kind: "record"},
}

// partsOfURL are the first name of a URL's path behind /v1, and the rest.
func partsOfURL(u *url.URL) (list, rest string) {
	_, path, _ := strings.Cut(u.Path, "/v1/")
	list, rest, _ = strings.Cut(strings.TrimSuffix(path, "/"), "/")
	return list, rest
}

// asked makes sure that the answer of a URL is of its kind, and of its height if it
// names one.
func (c *claim) asked(s *explorer.Shown) error {
	u, err := url.Parse(c.name)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil //nolint:nilerr // it is a file
	}
	list, _ := partsOfURL(u)
	if want := provable[list].kind; c.kind != want {
		return &light.Lie{From: c.name, What: "kind of the answer", Expected: want, Found: c.kind}
	}
	height := strconv.FormatUint(uint64(s.Height), 10)
	if want := u.Query().Get("height"); want != "" && want != height {
		return &light.Lie{From: c.name, What: "height", Expected: want, Found: height}
	}
	return nil
}

// keyOfURL is the key of the record that the answer of a URL is about.
func keyOfURL(from string) (chain.Key, bool) {
	u, err := url.Parse(from)
	if err != nil {
		return chain.Key{}, false
	}
	list, id := partsOfURL(u)
	if list == "state" {
		table, key, _ := strings.Cut(id, "/")
		t, known := chain.ParseTable(table)
		raw, err := hex.DecodeString(key)
		return chain.Key{Table: t, ID: string(raw)}, known && err == nil
	}
	k, err := chain.ParsePath(provable[list].record + id)
	return k, err == nil
}

// check verifies the proof by what is trusted, and says what it shows.
func (c *claim) check(ctx context.Context, g *globals, trust light.Trust, appHash []byte) (*shownJSON, *explorer.Shown, error) {
	if len(appHash) > 0 {
		root, record, err := proof.Open(c.bundle.Path, appHash, c.bundle.Key())
		if err != nil {
			return nil, nil, err
		}
		out, err := shownRecord(c.bundle.Key(), record, appHash)
		if err != nil {
			return nil, nil, err
		}
		global := new(chain.Global)
		err = chain.Decode(root.Single, global)
		return out, &explorer.Shown{Key: c.bundle.Key(), Record: record, Height: global.Height, Root: root}, err
	}
	shown, pinned, err := c.underHeader(ctx, g, trust)
	if err != nil {
		return nil, nil, err
	}
	out, err := shownOf(shown)
	if err != nil {
		return nil, nil, err
	}
	if pinned != nil {
		out.Pinned = pinned.Trust.String()
		if pinned.First {
			out.Notice = "this is the first header seen of this chain: it is trusted from now on; compare it with one that you have from elsewhere"
		}
	}
	return out, &explorer.Shown{Key: shown.Key, Record: shown.Record, Height: shown.Height, Root: shown.Root()}, nil
}

func (c *claim) underHeader(ctx context.Context, g *globals, trust light.Trust) (*light.Shown, *light.Pinned, error) {
	now := time.Now()
	if trust.IsZero() {
		return light.Pins{File: filepath.Join(g.Home, "pins.json")}.Check(ctx, c.node, c.bundle, now)
	}
	if c.answer != nil {
		if err := light.Extend(ctx, c.node, c.bundle, trust, now); err != nil {
			return nil, nil, err
		}
	}
	s, err := light.Check(c.bundle, trust, now)
	return s, nil, err
}

// compare holds an answer against what is proven.
func (c *claim) compare(out *shownJSON, s *explorer.Shown) error {
	if c.answer == nil {
		return nil
	}
	if err := c.asked(s); err != nil {
		return err
	}
	found, err := explorer.Compare(bytes.TrimSpace(c.answer), s)
	var bad *explorer.Mismatch
	if errors.As(err, &bad) {
		return &light.Lie{From: c.name, What: bad.Field + " of " + chain.FormatPath(s.Key, chain.Testnet) + fmt.Sprintf(" at height %d", s.Height),
			Expected: bad.Expected, Found: bad.Found}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	out.Answer, out.Verified, out.Unproven = found.Answer, found.Proven, found.Unproven
	return nil
}
