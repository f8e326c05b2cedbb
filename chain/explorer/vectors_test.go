package explorer

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cometbft/cometbft/types"
	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/rpc/light"
	"github.com/perdure/perdure/chain/state"
	"github.com/perdure/perdure/chain/state/proof"
)

// vector is an answer that is to be verified: by Go here, and by the page's
// scripts in .ci/page/test/verify.test.mjs.
type vector struct {
	Name    string            `json:"name"`
	Good    bool              `json:"good"`
	Page    string            `json:"page,omitempty"` // what the page's scripts say of a bad one, in part
	CLI     string            `json:"-"`              // and what Go says
	Answer  string            `json:"answer"`
	Kind    string            `json:"kind"`
	Key     string            `json:"key"`               // that was asked for, hexadecimal
	Trust   string            `json:"trust"`             // HEIGHT:HASH
	Now     int64             `json:"now"`               // milliseconds since 1970
	Headers map[string]string `json:"headers,omitempty"` // instead of those that the node has, by height, base64
}

// walk is a path through a tree of many records.
type walk struct {
	Table  int    `json:"table"`
	Key    string `json:"key"`              // hexadecimal
	Record string `json:"record,omitempty"` // CBOR, base64; absent: the path shows that there is none
	Path   string `json:"path"`             // CARv1, base64
}

// vectors are what the page's scripts are tested with.
type vectors struct {
	Vectors []*vector         `json:"vectors"`
	Headers map[string]string `json:"headers"` // by height, base64
	Blocks  map[string]string `json:"blocks"`  // by CID, base64
	AppHash string            `json:"appHash"` // of the walks, hexadecimal
	Walks   []walk            `json:"walks"`
}

var b64 = base64.StdEncoding.EncodeToString

// forge is a prepared network with what vectors of it need.
type forge struct {
	*network
	server *httptest.Server
	out    *vectors
	tip    chain.Height
	base   string // the good answer that bad ones are made of
}

// now is in the trust period of all headers.
func (f *forge) now() time.Time { return time.Unix(1_700_000_000+int64(f.tip)+1, 0) }

// add notes a vector of the base answer, changed.
func (f *forge) add(name, page, cli string, change func(v *vector)) {
	v := &vector{Name: name, Page: page, CLI: cli, Answer: f.base, Kind: answerDeal, Key: hexText([]byte(chain.DealKey(1).ID)),
		Trust: f.trust(f.tip).String(), Now: f.now().UnixMilli()}
	change(v)
	f.out.Vectors = append(f.out.Vectors, v)
}

// edit changes fields of the answer.
func (v *vector) edit(t testing.TB, change func(fields map[string]any)) {
	fields, err := numbers([]byte(v.Answer))
	must(t, err)
	change(fields)
	v.Answer = jsonOf(t, fields)
}

// rebundle changes the bundle of the answer's proof.
func (v *vector) rebundle(t testing.TB, change func(b *proof.Bundle)) {
	p, err := ProofOf([]byte(v.Answer))
	must(t, err)
	b := new(proof.Bundle)
	must(t, chain.Decode(p.Bundle, b))
	change(b)
	p.Bundle, err = chain.Encode(b)
	must(t, err)
	v.edit(t, func(fields map[string]any) { fields["proof"] = p })
}

// relight changes the bundle's header.
func (v *vector) relight(t testing.TB, f *forge, change func(b *types.LightBlock)) {
	v.rebundle(t, func(b *proof.Bundle) {
		tree, err := f.store.At(f.tip - 1)
		must(t, err)
		h := f.sign(f.tip, tree.AppHash(), voters(f.tip), f.headers[:f.tip-1])
		change(h)
		b.Headers[0].Light = encoded(h)
	})
}

func flip(b []byte, at int) []byte {
	out := bytes.Clone(b)
	out[(at+len(out))%len(out)] ^= 1
	return out
}

func newForge(t testing.TB) *forge {
	n := prepared(t)
	f := &forge{network: n, server: both(t, n), tip: n.store.View().Height(), out: &vectors{Headers: map[string]string{}, Blocks: map[string]string{}}}
	f.base = fetch(t, f.server, "/v1/deals/1?proof=true")
	for h := chain.Height(1); h <= f.tip; h++ {
		f.out.Headers[strconv.Itoa(int(h))] = b64(encoded(n.header(h)))
	}
	for h := range f.tip {
		tree, err := n.store.At(h)
		must(t, err)
		top, err := proof.LinkOfAppHash(tree.AppHash())
		must(t, err)
		for _, c := range []cid.Cid{top, tree.ParamsLink()} {
			raw, err := n.store.Block(c)
			must(t, err)
			f.out.Blocks[c.String()] = b64(raw)
		}
	}
	return f
}

// good are true answers of all kinds, under trusted headers near and far.
func (f *forge) good(t testing.TB) {
	for name, path := range provenPaths(f.network) {
		k, err := chain.ParsePath(strings.Replace(name, "params", "global", 1))
		must(t, err)
		f.add("true "+path, "", "", func(v *vector) {
			v.Good, v.Answer, v.Key = true, fetch(t, f.server, path+"?proof=true"), hexText([]byte(k.ID))
			p, err := ProofOf([]byte(v.Answer))
			must(t, err)
			v.Kind = p.Answer
		})
	}
	for name, h := range map[string]chain.Height{"the header before": f.tip - 1, "a header near by": f.tip - 9, "the first header": 1} {
		f.add("true from "+name, "", "", func(v *vector) { v.Good, v.Trust = true, f.trust(h).String() })
	}
}

// fields changes what the answer says.
func (f *forge) fields(t testing.TB) {
	set := func(name string, value any) func(v *vector) {
		return func(v *vector) { v.edit(t, func(fields map[string]any) { fields[name] = value }) }
	}
	f.add("another amount", "unspent", "unspent: expected", set("unspent", "1"))
	f.add("another height", "height", "height: expected", set("height", 5))
	f.add("another time", "time", "time: expected", set("time", "2023-11-14T22:13:20Z"))
	f.add("another miner", "miner", "miner: expected", set("miner", "t01001"))
	f.add("an address with another checksum", "client", "client: expected", func(v *vector) {
		v.edit(t, func(fields map[string]any) {
			text := fields["client"].(string)
			fields["client"] = text[:len(text)-2] + "aa"
		})
	})
	f.add("no proof", "carries no proof", "carries no proof", set("proof", nil))
	f.add("of another kind", "not of a order", "an order has a proof of table deal", func(v *vector) {
		v.Kind = answerOrder
		v.edit(t, func(fields map[string]any) { fields["proof"].(map[string]any)["answer"] = answerOrder })
	})
	f.add("other parameters", "not those that the state links to", "to which the state links", func(v *vector) {
		v.Answer, v.Kind, v.Key = fetch(t, f.server, "/v1/params?proof=true"), answerParams, ""
		p, err := ProofOf([]byte(v.Answer))
		must(t, err)
		p.Params = flip(p.Params, -1)
		v.edit(t, func(fields map[string]any) { fields["proof"] = p })
	})
}

// bundles changes the proof around its parts.
func (f *forge) bundles(t testing.TB) {
	change := func(c func(b *proof.Bundle)) func(v *vector) {
		return func(v *vector) { v.rebundle(t, c) }
	}
	f.add("another version", "unknown form", "of version 2", change(func(b *proof.Bundle) { b.Version = 2 }))
	f.add("another key", "another record", "there is no record of this deal", change(func(b *proof.Bundle) { b.ID = []byte(chain.DealKey(2).ID) }))
	f.add("another table", "not of a deal", "a deal has a proof of table order", change(func(b *proof.Bundle) {
		tree, err := f.store.At(f.tip - 1)
		must(t, err)
		b.Table = chain.TableOrder
		b.Path, err = tree.Proof(chain.OrderKey(1))
		must(t, err)
	}))
	f.add("a proof that there is none", "another record", "there is no record", change(func(b *proof.Bundle) {
		tree, err := f.store.At(f.tip - 1)
		must(t, err)
		b.ID = []byte(chain.DealKey(9).ID)
		b.Path, err = tree.Proof(chain.DealKey(9))
		must(t, err)
	}))
	f.add("a path of an older state", "does not stand under the app hash", "it stands under app hash", change(func(b *proof.Bundle) {
		tree, err := f.store.At(f.tip - 2)
		must(t, err)
		b.Path, err = tree.Proof(b.Key())
		must(t, err)
	}))
	f.add("a path with a block less", "lacks a block", "lacks a block", change(func(b *proof.Bundle) {
		b.Path = sections(b.Path, func(all [][]byte) [][]byte { return all[:len(all)-1] })
	}))
	f.add("a path with a block more", "not on the way", "off the path", change(func(b *proof.Bundle) {
		b.Path = sections(b.Path, func(all [][]byte) [][]byte {
			return append(all, proof.AppendSection(nil, proof.LinkOf([]byte{1}), []byte{1}))
		})
	}))
	f.add("a path with a block twice", "stands twice", "stands twice", change(func(b *proof.Bundle) {
		b.Path = sections(b.Path, func(all [][]byte) [][]byte { return append(all, all[0]) })
	}))
	f.add("a path cut off", "wrong length", "bad section length", change(func(b *proof.Bundle) { b.Path = b.Path[:len(b.Path)-1] }))
	f.add("a path under another root", "does not stand under", "", change(func(b *proof.Bundle) { b.Path = flip(b.Path, 30) }))
	f.add("another last byte", "does not match its CID", "does not match its CID", change(func(b *proof.Bundle) { b.Path = flip(b.Path, -1) }))
	p, err := ProofOf([]byte(f.base))
	must(t, err)
	b, err := proof.DecodeBundle(p.Bundle)
	must(t, err)
	for i := range count(b.Path) {
		f.add("another byte in block "+strconv.Itoa(i), "does not match its CID", "does not match its CID", change(func(b *proof.Bundle) {
			b.Path = sections(b.Path, func(all [][]byte) [][]byte {
				all[i] = flip(all[i], -5)
				return all
			})
		}))
	}
}

// sections changes the sections of a CAR.
func sections(car []byte, change func([][]byte) [][]byte) []byte {
	head := len(proof.CARHeader(proof.LinkOf(nil)))
	var all [][]byte
	for rest := car[head:]; len(rest) > 0; {
		n, width := binary.Uvarint(rest)
		all, rest = append(all, bytes.Clone(rest[:width+int(n)])), rest[width+int(n):]
	}
	return append(bytes.Clone(car[:head]), bytes.Join(change(all), nil)...)
}

func count(car []byte) (n int) {
	sections(car, func(all [][]byte) [][]byte { n = len(all); return all })
	return n
}

// lights changes the header, its votes and its validators.
func (f *forge) lights(t testing.TB) {
	change := func(c func(b *types.LightBlock)) func(v *vector) {
		return func(v *vector) { v.relight(t, f, c) }
	}
	const other = "its votes are for another block"
	for name, c := range map[string]func(h *types.Header){
		"version": func(h *types.Header) { h.Version.App++ }, "chain ID": func(h *types.Header) { h.ChainID += "x" },
		"height": func(h *types.Header) { h.Height++ }, "time": func(h *types.Header) { h.Time = h.Time.Add(1) },
		"last block": func(h *types.Header) { h.LastBlockID.Hash = flip(h.LastBlockID.Hash, 0) },
		"last parts": func(h *types.Header) { h.LastBlockID.PartSetHeader.Total++ }, "last commit": func(h *types.Header) { h.LastCommitHash = flip(h.LastCommitHash, 0) },
		"data": func(h *types.Header) { h.DataHash = flip(h.DataHash, 0) }, "validators": func(h *types.Header) { h.ValidatorsHash = flip(h.ValidatorsHash, 0) },
		"next validators": func(h *types.Header) { h.NextValidatorsHash = flip(h.NextValidatorsHash, 0) }, "consensus": func(h *types.Header) { h.ConsensusHash = flip(h.ConsensusHash, 0) },
		"app hash": func(h *types.Header) { h.AppHash = flip(h.AppHash, -1) }, "results": func(h *types.Header) { h.LastResultsHash = flip(h.LastResultsHash, 0) },
		"evidence": func(h *types.Header) { h.EvidenceHash = flip(h.EvidenceHash, 0) }, "proposer": func(h *types.Header) { h.ProposerAddress = flip(h.ProposerAddress, 0) },
	} {
		page := other
		if name == "app hash" {
			page = "" // either layer may see it first
		}
		f.add("a header with another "+name, page, "", change(func(b *types.LightBlock) { c(b.Header) }))
	}
	f.add("a vote that is not signed", "is not signed by it", "two thirds", change(func(b *types.LightBlock) {
		b.Commit.Signatures[0].Signature = flip(b.Commit.Signatures[0].Signature, 5)
	}))
	f.add("a vote of another time", "is not signed by it", "two thirds", change(func(b *types.LightBlock) {
		b.Commit.Signatures[1].Timestamp = b.Commit.Signatures[1].Timestamp.Add(time.Second)
	}))
	f.add("votes of another round", "is not signed by it", "two thirds", change(func(b *types.LightBlock) { b.Commit.Round++ }))
	f.add("votes for other parts", "is not signed by it", "two thirds", change(func(b *types.LightBlock) { b.Commit.BlockID.PartSetHeader.Total++ }))
	f.add("votes for another block", other, "", change(func(b *types.LightBlock) { b.Commit.BlockID.Hash = flip(b.Commit.BlockID.Hash, 0) }))
	f.add("half of the votes", "more than two thirds must be", "two thirds", change(func(b *types.LightBlock) {
		b.Commit.Signatures[0], b.Commit.Signatures[1] = types.NewCommitSigAbsent(), types.NewCommitSigAbsent()
	}))
	f.add("fewer votes than validators", "3 votes of 4 validators", "", change(func(b *types.LightBlock) { b.Commit.Signatures = b.Commit.Signatures[:3] }))
	f.add("a validator with more votes", "validators are not those", "", change(func(b *types.LightBlock) { b.ValidatorSet.Validators[3].VotingPower += 100 }))
	f.add("another validator", "validators are not those", "", change(func(b *types.LightBlock) {
		*b.ValidatorSet.Validators[3] = *types.NewValidator(voter(1000).PubKey(), 10)
	}))
	f.add("a header cut off", "", "not a header", func(v *vector) {
		v.rebundle(t, func(b *proof.Bundle) { b.Headers[0].Light = b.Headers[0].Light[:len(b.Headers[0].Light)-9] })
	})
}

// trusts changes what is trusted, the clock, and headers on the way.
func (f *forge) trusts(t testing.TB) {
	f.add("another trusted hash", "is not the trusted one", "expected hash", func(v *vector) {
		trust := f.trust(f.tip)
		trust.Hash = flip(trust.Hash, 0)
		v.Trust = trust.String()
	})
	f.add("another hash far back", "is not the trusted one", "expected hash", func(v *vector) {
		trust := f.trust(3)
		trust.Hash = flip(trust.Hash, 0)
		v.Trust = trust.String()
	})
	f.add("trust in a later header", "older than the trusted one", "is newer than", func(v *vector) {
		v.Trust = light.Trust{Height: f.tip + 1, Hash: seed("any")}.String()
	})
	f.add("trust that is too old", "older than the trust period", "older than the trust period", func(v *vector) {
		v.Trust, v.Now = f.trust(3).String(), time.Unix(1_700_000_003, 0).Add(light.Period(f.params)).Add(time.Second).UnixMilli()
	})
	f.add("a header of the future", "is from the future", "from the future", func(v *vector) {
		v.Trust, v.Now = f.trust(f.tip-1).String(), f.now().Add(-time.Minute).UnixMilli()
	})
	strangers := types.NewValidatorSet([]*types.Validator{types.NewValidator(voter(chain.Height(2)).PubKey(), 10)})
	forged := func(v *vector, at chain.Height) *types.LightBlock {
		tree, err := f.store.At(at - 1)
		must(t, err)
		return f.sign(at, tree.AppHash(), strangers, f.headers[:at-1])
	}
	f.add("a proof that strangers signed", "not those that the header before names", "vouch for", func(v *vector) {
		v.Trust = f.trust(f.tip - 2).String()
		v.Headers = map[string]string{strconv.Itoa(int(f.tip - 1)): b64(encoded(forged(v, f.tip-1)))}
		v.rebundle(t, func(b *proof.Bundle) { b.Headers[0].Light = encoded(forged(v, f.tip)) })
	})
	f.add("strangers right after the trusted header", "not those that the header before names", "vouch for", func(v *vector) {
		v.Trust = f.trust(f.tip - 1).String()
		v.rebundle(t, func(b *proof.Bundle) { b.Headers[0].Light = encoded(forged(v, f.tip)) })
	})
	f.add("a stranger's header on the way", "", "vouch for", func(v *vector) {
		v.Trust, v.Headers = f.trust(1).String(), map[string]string{}
		for h := chain.Height(2); h < f.tip; h++ {
			v.Headers[strconv.Itoa(int(h))] = b64(encoded(forged(v, h)))
		}
	})
	f.add("a header of another height on the way", "the answer is that of", "expected height", func(v *vector) {
		v.Trust, v.Headers = f.trust(1).String(), map[string]string{}
		for h := chain.Height(2); h < f.tip; h++ {
			v.Headers[strconv.Itoa(int(h))] = f.out.Headers["1"]
		}
	})
}

// walks are paths of all shapes in a tree with many records, to what is there
// and to what is not.
func (f *forge) walks(t testing.TB) {
	p := consensus.Devnet()
	store, err := state.Open(state.Config{Dir: "walks", Params: p, FS: vfs.NewMem(), Cache: 1 << 20})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	u := &consensus.Update{Version: consensus.UpdateVersion}
	raw := func(n uint64) []byte {
		out, err := chain.Encode(&chain.Account{Nonce: n, Balance: chain.PDR(n)})
		must(t, err)
		return out
	}
	global, err := chain.Encode(&chain.Global{RuleVersion: consensus.RuleVersion})
	must(t, err)
	u.Changes = append(u.Changes, consensus.Change{Table: chain.TableGlobal, Value: global})
	keys := []chain.Key{chain.GlobalKey()}
	for table := chain.TableAccount; table < chain.TableEnd; table++ {
		if table == chain.TableParams || table == chain.TableOrder {
			continue // the store reads these itself
		}
		for i := range uint64(300) {
			k := chain.Key{Table: table, ID: string(binary.BigEndian.AppendUint64(nil, 1+3*i*i))}
			if table.Shape() == chain.ShapeOwned {
				k.ID = string(binary.BigEndian.AppendUint64(nil, 7+i%5)) + k.ID
			}
			if i%97 == 0 {
				keys = append(keys, k, chain.Key{Table: table, ID: k.ID[:len(k.ID)-1] + "\x00"}, chain.Key{Table: table, ID: "\x01" + k.ID[1:]})
			}
			u.Changes = append(u.Changes, consensus.Change{Table: table, ID: []byte(k.ID), Value: raw(i)})
		}
	}
	sortChanges(u.Changes)
	_, err = store.Genesis(u)
	must(t, err)
	tree := store.View()
	f.out.AppHash = hexText(tree.AppHash())
	for _, k := range keys {
		path, err := tree.Proof(k)
		must(t, err)
		record, err := proof.Verify(path, tree.AppHash(), k)
		must(t, err)
		f.out.Walks = append(f.out.Walks, walk{int(k.Table), hexText([]byte(k.ID)), b64(record), b64(path)})
	}
}

// verify checks a vector as the command line does.
func (v *vector) verify(t testing.TB, node *rpc.Client) error {
	trust, err := light.ParseTrust(v.Trust)
	must(t, err)
	p, err := ProofOf([]byte(v.Answer))
	if err != nil {
		return err
	}
	b, err := proof.DecodeBundle(p.Bundle)
	if err != nil {
		return err
	}
	now := time.UnixMilli(v.Now)
	if err := light.Extend(t.Context(), node, b, trust, now); err != nil {
		return err
	}
	s, err := light.Check(b, trust, now)
	if err != nil {
		return err
	}
	_, err = Compare([]byte(v.Answer), &Shown{Key: s.Key, Record: s.Record, Height: s.Height, Root: s.Root()})
	return err
}

// way serves headers and blocks to who verifies a vector.
func (f *forge) way(v *vector) http.Handler {
	mux := http.NewServeMux()
	give := func(w http.ResponseWriter, maps ...string) {
		for _, text := range maps {
			if raw, err := base64.StdEncoding.DecodeString(text); err == nil && text != "" {
				w.Write(raw)
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
	}
	mux.HandleFunc("GET /v1/raw/headers/{height}", func(w http.ResponseWriter, r *http.Request) {
		h := r.PathValue("height")
		give(w, v.Headers[h], f.out.Headers[h])
	})
	mux.HandleFunc("GET /v1/raw/blocks/{cid}", func(w http.ResponseWriter, r *http.Request) { give(w, f.out.Blocks[r.PathValue("cid")]) })
	return mux
}

// TestVectors verifies true answers and refuses changed ones, layer by layer, in
// Go and, where there is node, in the page's scripts. The directory that
// PERDURE_VECTORS names keeps what these are tested with.
func TestVectors(t *testing.T) {
	f := newForge(t)
	f.good(t)
	f.fields(t)
	f.bundles(t)
	f.lights(t)
	f.trusts(t)
	f.walks(t)
	for _, v := range f.out.Vectors {
		s := httptest.NewServer(f.way(v))
		node := rpc.New(s.URL)
		err := v.verify(t, node)
		if (err == nil) != v.Good || err != nil && !strings.Contains(err.Error(), v.CLI) {
			t.Errorf("%s: want %t %q, have %v", v.Name, v.Good, v.CLI, err)
		}
		node.Close()
		s.Close()
	}
	dir := os.Getenv("PERDURE_VECTORS")
	if dir == "" {
		dir = t.TempDir()
	}
	raw, err := json.Marshal(f.out)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "vectors.json"), raw, 0o644))
	program, err := exec.LookPath("node")
	if err != nil || os.Getenv("PERDURE_VECTORS") != "" {
		return // who asks for the vectors runs the scripts, and so does the step .ci/page
	}
	test := exec.CommandContext(t.Context(), program, "--test", "../../.ci/page/test/verify.test.mjs")
	test.Env = append(os.Environ(), "PERDURE_VECTORS="+dir)
	if out, err := test.CombinedOutput(); err != nil {
		t.Errorf("the page's scripts: %v\n%s", err, out)
	}
}

// sortChanges puts changes in the order that an Update has.
func sortChanges(all []consensus.Change) {
	slices.SortFunc(all, func(a, b consensus.Change) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), bytes.Compare(a.ID, b.ID))
	})
}
