package node

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/internal/lifecycle"
)

// The files of a home.
func genesisPath(home string) string { return filepath.Join(home, "genesis.json") }
func beaconPath(home string) string  { return filepath.Join(home, "beacon_key.json") }
func cometHome(home string) string   { return filepath.Join(home, "comet") }
func stateDir(home string) string    { return filepath.Join(home, "state") }
func indexDir(home string) string    { return filepath.Join(home, "index") }
func snapshotDir(home string) string { return filepath.Join(home, "snapshots") }
func nodeKeyPath(home string) string {
	return filepath.Join(cometHome(home), "config", "node_key.json")
}
func signKeyPath(home string) string {
	return filepath.Join(cometHome(home), "config", "priv_validator_key.json")
}
func signStatePath(home string) string {
	return filepath.Join(cometHome(home), "data", "priv_validator_state.json")
}

// Identity is the public half of a home's keys.
type Identity struct {
	NodeID       string // peers dial NodeID@host:port
	ConsensusKey []byte // ed25519 public key
	BeaconKey    []byte // BLS12-381 G1
	BeaconProof  []byte // proof of possession, for CreateMiner
}

// Validator is the identity as a member of a genesis vote set.
func (i *Identity) Validator(power uint64, reward chain.Address, n chain.Network) consensus.GenesisValidator {
	return consensus.GenesisValidator{PubKey: i.ConsensusKey, BeaconKey: i.BeaconKey, BeaconProof: i.BeaconProof, Power: power,
		Reward: chain.FormatAddress(reward, n)}
}

// keys are a home's keys.
type keys struct {
	node   *p2p.NodeKey
	sign   *privval.FilePV
	beacon []byte // secret
}

// beaconFile is beacon_key.json; bytes are base64.
type beaconFile struct {
	PublicKey []byte `json:"publicKey"`
	Secret    []byte `json:"secret"`
}

// Init makes the keys that a home lacks, keeping those it has, and returns
// their public half.
func Init(home string) (*Identity, error) {
	for _, dir := range []string{filepath.Dir(nodeKeyPath(home)), filepath.Dir(signStatePath(home))} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make node home: %w", err)
		}
	}
	if _, err := os.Stat(nodeKeyPath(home)); errors.Is(err, fs.ErrNotExist) {
		if err := writeJSON(nodeKeyPath(home), &p2p.NodeKey{PrivKey: ed25519.GenPrivKey()}); err != nil {
			return nil, fmt.Errorf("make node key: %w", err)
		}
	}
	if _, err := os.Stat(signKeyPath(home)); errors.Is(err, fs.ErrNotExist) {
		if err := makeSignKey(home); err != nil {
			return nil, fmt.Errorf("make consensus key: %w", err)
		}
	}
	if _, err := os.Stat(beaconPath(home)); errors.Is(err, fs.ErrNotExist) {
		if err := makeBeaconKey(home); err != nil {
			return nil, fmt.Errorf("make beacon key: %w", err)
		}
	}
	return LoadIdentity(home)
}

// makeSignKey writes the state first: a key without one would be refused.
func makeSignKey(home string) error {
	if err := writeJSON(signStatePath(home), &privval.FilePVLastSignState{}); err != nil {
		return err
	}
	secret := ed25519.GenPrivKey()
	return writeJSON(signKeyPath(home), &privval.FilePVKey{Address: secret.PubKey().Address(), PubKey: secret.PubKey(), PrivKey: secret})
}

func writeJSON(path string, v any) error {
	b, err := cmtjson.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return lifecycle.WriteFile(path, b, 0o600)
}

func makeBeaconKey(home string) error {
	random := make([]byte, 48)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	var f beaconFile
	var err error
	if f.Secret, err = consensus.BeaconSecret(random); err != nil {
		return err
	}
	if f.PublicKey, err = consensus.BeaconPublicKey(f.Secret); err != nil {
		return err
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return lifecycle.WriteFile(beaconPath(home), b, 0o600)
}

// LoadIdentity reads the public half of a home's keys.
func LoadIdentity(home string) (*Identity, error) {
	k, err := loadKeys(home)
	if err != nil {
		return nil, err
	}
	i := &Identity{NodeID: string(k.node.ID()), ConsensusKey: k.sign.Key.PubKey.Bytes()}
	if i.BeaconKey, err = consensus.BeaconPublicKey(k.beacon); err != nil {
		return nil, fmt.Errorf("read %s: %w", beaconPath(home), err)
	}
	if i.BeaconProof, err = consensus.ProveBeaconKey(k.beacon); err != nil {
		return nil, fmt.Errorf("read %s: %w", beaconPath(home), err)
	}
	return i, nil
}

func loadKeys(home string) (*keys, error) {
	k := &keys{node: new(p2p.NodeKey)}
	if err := readJSON(nodeKeyPath(home), k.node); err != nil {
		return nil, err
	}
	// The library ends the process if it cannot read these: read them first.
	var key privval.FilePVKey
	var last privval.FilePVLastSignState
	if err := errors.Join(readJSON(signKeyPath(home), &key), readJSON(signStatePath(home), &last)); err != nil {
		return nil, err
	}
	if k.node.PrivKey == nil || key.PrivKey == nil || key.PrivKey.Type() != ed25519.KeyType {
		return nil, fmt.Errorf("read keys of %s: want ed25519 keys", home)
	}
	k.sign = privval.LoadFilePV(signKeyPath(home), signStatePath(home))
	raw, err := os.ReadFile(beaconPath(home))
	if err != nil {
		return nil, fmt.Errorf("read beacon key: %w", err)
	}
	var f beaconFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("read beacon key %s: %w", beaconPath(home), err)
	}
	k.beacon = f.Secret
	return k, nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err == nil {
		err = cmtjson.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("read key file %s: %w", path, err)
	}
	return nil
}

// VoteKeys fills in the keys with which a miner votes through the node of a
// home, with their proofs for the miner's owner and worker.
func VoteKeys(home, chainID string, k *chain.Keys) error {
	own, err := loadKeys(home)
	if err != nil {
		return err
	}
	id, err := LoadIdentity(home)
	if err != nil {
		return err
	}
	k.ConsensusKey, k.BeaconKey, k.BeaconProof = id.ConsensusKey, id.BeaconKey, id.BeaconProof
	if k.ConsensusProof, err = own.sign.Key.PrivKey.Sign(consensus.VoteKeyMessage(chainID, k.Owner, k.Worker)); err != nil {
		return fmt.Errorf("prove consensus key of %s: %w", home, err)
	}
	return nil
}
