package node

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/internal/lifecycle"
)

// Candidate is what a validator of a chain to be publishes, so that a genesis
// can be made of all of them: validator.json. Bytes are base64 in JSON.
type Candidate struct {
	NodeID       string `json:"nodeId"`       // peers dial nodeId@p2p
	P2P          string `json:"p2p"`          // host:port
	ConsensusKey []byte `json:"consensusKey"` // ed25519, 32 bytes
	BeaconKey    []byte `json:"beaconKey"`    // BLS12-381 G1, 48 bytes
	BeaconProof  []byte `json:"beaconProof"`  // that its holder has the secret of it
	Reward       string `json:"reward"`       // address: receives tips, is charged for skips
}

// CandidatePath is where the candidate of a home is.
func CandidatePath(home string) string { return filepath.Join(home, "validator.json") }

// Candidate returns what the identity publishes.
func (i *Identity) Candidate(p2p string, reward chain.Address, n chain.Network) *Candidate {
	return &Candidate{NodeID: i.NodeID, P2P: p2p, ConsensusKey: i.ConsensusKey, BeaconKey: i.BeaconKey,
		BeaconProof: i.BeaconProof, Reward: chain.FormatAddress(reward, n)}
}

// Save writes the candidate of a home.
func (c *Candidate) Save(home string) error {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("write validator.json: %w", err)
	}
	return lifecycle.WriteFile(CandidatePath(home), append(b, '\n'), 0o644)
}

// LoadCandidate reads a validator.json and checks its proof.
func LoadCandidate(path string) (*Candidate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read candidate: %w", err)
	}
	c := new(Candidate)
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("read candidate %s: %w", path, err)
	}
	if err := consensus.VerifyBeaconKey(c.BeaconKey, c.BeaconProof); err != nil {
		return nil, fmt.Errorf("read candidate %s: beacon key: %w", path, err)
	}
	return c, nil
}

// Peer is the address by which peers dial the candidate: ID@host:port.
func (c *Candidate) Peer() string { return c.NodeID + "@" + c.P2P }

// candidatePower is the votes of each candidate: all have the same.
const candidatePower = 10

// NewGenesis is the genesis of a chain whose validators are the candidates,
// with equal votes.
func NewGenesis(p consensus.Params, candidates []*Candidate, accounts []consensus.GenesisAccount) *consensus.Genesis {
	g := &consensus.Genesis{Params: p, Accounts: accounts}
	for _, c := range candidates {
		g.Validators = append(g.Validators, consensus.GenesisValidator{PubKey: c.ConsensusKey, BeaconKey: c.BeaconKey,
			BeaconProof: c.BeaconProof, Power: candidatePower, Reward: c.Reward})
	}
	return g
}

// NetworkParams returns the parameters of devnet, testnet or mainnet, for a chain ID.
func NetworkParams(name, chainID string) (consensus.Params, error) {
	for _, p := range []*consensus.Params{consensus.Devnet(), consensus.Testnet(), consensus.Mainnet()} {
		if p.Name == name {
			p.ChainID = chainID
			return *p, nil
		}
	}
	return consensus.Params{}, fmt.Errorf("network %q: want devnet, testnet or mainnet", name)
}
