package consensus

import (
	"crypto/ed25519"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep"
)

func init() {
	verbs["create-miner"] = createMinerVerb
	verbs["update-miner"] = updateMinerVerb
}

// keys reads owner=, worker=, prover=, beneficiary=, votes=NAME, possession=wrong,
// copied=NAME: the proof of NAME's consensus key is for that owner and worker.
func (s *script) keys(a args, from string) chain.Keys {
	role := func(key string) chain.Address {
		if a.has(key) {
			return a.address(key)
		}
		return addressOf(s.t, from)
	}
	k := chain.Keys{Owner: role("owner"), Worker: role("worker"), Beneficiary: role("beneficiary")}
	if a.has("prover") {
		k.Provers = append(k.Provers, a.address("prover"))
	}
	if a.has("votes") {
		k = votingKeys(s.t, k, a.text("votes"))
	}
	if a.has("copied") {
		other := chain.Keys{Owner: a.address("copied"), Worker: a.address("copied")}
		k.ConsensusProof = votingKeys(s.t, other, a.text("votes")).ConsensusProof
	}
	if a.has("possession") {
		k.BeaconProof = votingKeys(s.t, chain.Keys{}, "somebody else").BeaconProof
	}
	return k
}

// consensusKeyOf is the private consensus key of a named validator.
func consensusKeyOf(name string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(seed("consensus", name))
}

func votingKeys(t testing.TB, k chain.Keys, name string) chain.Keys {
	t.Helper()
	secret, err := BeaconSecret(seed("beacon", name))
	must(t, err)
	private := consensusKeyOf(name)
	k.ConsensusKey = []byte(private.Public().(ed25519.PublicKey))
	k.ConsensusProof = ed25519.Sign(private, VoteKeyMessage(testParams().ChainID, k.Owner, k.Worker))
	k.BeaconKey, err = BeaconPublicKey(secret)
	must(t, err)
	k.BeaconProof, err = ProveBeaconKey(secret)
	must(t, err)
	return k
}

func createMinerVerb(s *script, a args) chain.Body {
	proof, err := porep.ProofOfSize(a.size("size", 2<<10))
	must(s.t, err)
	return &chain.CreateMiner{Keys: s.keys(a, a.text("from")), SealProof: proof, Fund: a.amount("fund"),
		Peer: chain.Peer{ID: []byte(a.text("from"))}}
}

func updateMinerVerb(s *script, a args) chain.Body {
	b := &chain.UpdateMiner{Miner: a.number("miner")}
	if a.has("owner") || a.has("worker") || a.has("beneficiary") || a.has("prover") || a.has("votes") {
		k := s.keys(a, a.text("from"))
		b.Keys = &k
	}
	if a.has("peer") {
		b.Peer = &chain.Peer{ID: []byte(a.text("peer"))}
	}
	if a.has("withdraw") {
		w := a.amount("withdraw")
		b.Withdraw = &w
	}
	return b
}

// TestPeriodsAreStaggered: however many miners, no height starts many more
// periods than another, and every first period starts after creation, soon.
func TestPeriodsAreStaggered(t *testing.T) {
	p := testParams()
	starts := map[chain.Height]int{}
	for id := chain.FirstMinerID; id < chain.FirstMinerID+4*p.Period(); id++ {
		const created = 1234
		at := firstPeriod(p, id, created)
		if at <= created || at > created+chain.Height(p.Period()) {
			t.Fatalf("miner %d created at %d starts at %d", id, created, at)
		}
		starts[at]++
	}
	for at, n := range starts {
		if n > 8 {
			t.Errorf("%d of %d miners start at height %d", n, 4*p.Period(), at)
		}
	}
}

func TestMinerChecks(t *testing.T) {
	good := chain.Keys{Owner: addressOf(t, "a"), Worker: addressOf(t, "a"), Beneficiary: addressOf(t, "a")}
	miner, err := chain.MinerAddress(1000)
	must(t, err)
	change := func(f func(*chain.Keys)) *chain.Keys { k := good; f(&k); return &k }
	voting := votingKeys(t, good, "v")
	for name, c := range map[string]struct {
		keys *chain.Keys
		ok   bool
	}{
		"plain":               {&good, true},
		"voting":              {&voting, true},
		"owner is a miner":    {change(func(k *chain.Keys) { k.Owner = miner }), false},
		"worker undefined":    {change(func(k *chain.Keys) { k.Worker = chain.Address{} }), false},
		"prover is a miner":   {change(func(k *chain.Keys) { k.Provers = []chain.Address{miner} }), false},
		"prover twice":        {change(func(k *chain.Keys) { k.Provers = []chain.Address{good.Owner, good.Owner} }), false},
		"short consensus key": {change(func(k *chain.Keys) { k.ConsensusKey = make([]byte, 31) }), false},
		"proof without key":   {change(func(k *chain.Keys) { k.BeaconProof = voting.BeaconProof }), false},
		"key without proof":   {change(func(k *chain.Keys) { k.BeaconKey = voting.BeaconKey }), false},
	} {
		if err := checkKeys(c.keys); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checkPeer(&chain.Peer{Addrs: [][]byte{make([]byte, maxMultiaddr+1)}}); err == nil {
		t.Error("a long peer address was taken")
	}
	if _, err := porep.ParamsOf(abi.RegisteredSealProof_StackedDrg2KiBV1); err == nil {
		t.Error("seal proofs of version V1 must not be known")
	}
}
