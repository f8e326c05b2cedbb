package node

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/types"

	"github.com/perdure/perdure/chain/app"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/internal/lifecycle"
)

// blockOverhead is what CometBFT's block may have beside messages: header,
// votes, evidence and the contribution to the beacon.
const blockOverhead = 1 << 20

// MakeGenesis returns the genesis document of a chain, as JSON for genesis.json.
func MakeGenesis(g *consensus.Genesis, at time.Time) ([]byte, error) {
	if _, err := consensus.GenesisUpdate(g); err != nil {
		return nil, err
	}
	state, err := g.JSON()
	if err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	doc := &types.GenesisDoc{GenesisTime: at.UTC().Round(time.Millisecond), ChainID: g.Params.ChainID, InitialHeight: 1,
		ConsensusParams: engineParams(&g.Params), AppState: state}
	for i, v := range g.Validators {
		key := ed25519.PubKey(v.PubKey)
		doc.Validators = append(doc.Validators, types.GenesisValidator{Address: key.Address(), PubKey: key,
			Power: int64(v.Power), Name: fmt.Sprintf("validator-%d", i)})
	}
	if err := doc.ValidateAndComplete(); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	return cmtjson.MarshalIndent(doc, "", "  ")
}

// engineParams are CometBFT's parameters of a network as it begins.
func engineParams(p *consensus.Params) *types.ConsensusParams {
	c := types.DefaultConsensusParams()
	c.Block.MaxBytes = int64(p.MaxBlockBytes) + blockOverhead
	c.Evidence = app.EvidenceParams(p)
	c.ABCI.VoteExtensionsEnableHeight = 1
	c.Version.App = consensus.RuleVersion
	return c
}

// ParseGenesis reads a genesis document and checks that what CometBFT takes
// from it agrees with what the rules take from it.
func ParseGenesis(b []byte) (*types.GenesisDoc, *consensus.Genesis, error) {
	doc, err := types.GenesisDocFromJSON(b)
	if err != nil {
		return nil, nil, fmt.Errorf("genesis: %w", err)
	}
	g, err := consensus.ParseGenesis(doc.AppState)
	if err != nil {
		return nil, nil, err
	}
	if doc.ChainID != g.Params.ChainID {
		return nil, nil, fmt.Errorf("genesis: chain_id is %q, app_state says %q", doc.ChainID, g.Params.ChainID)
	}
	if doc.InitialHeight != 1 {
		return nil, nil, fmt.Errorf("genesis: initial_height is %d, want 1", doc.InitialHeight)
	}
	if len(doc.Validators) != len(g.Validators) {
		return nil, nil, fmt.Errorf("genesis: %d validators, app_state has %d", len(doc.Validators), len(g.Validators))
	}
	want := map[string]int64{}
	for _, v := range g.Validators {
		want[string(v.PubKey)] = int64(v.Power)
	}
	for i, v := range doc.Validators {
		if power, ok := want[string(v.PubKey.Bytes())]; !ok || power != v.Power {
			return nil, nil, fmt.Errorf("genesis: validator %d is not in app_state with the same votes", i)
		}
	}
	if !bytes.Equal(doc.ConsensusParams.Hash(), engineParams(&g.Params).Hash()) ||
		doc.ConsensusParams.ABCI != engineParams(&g.Params).ABCI {
		return nil, nil, fmt.Errorf("genesis: consensus_params do not follow from app_state")
	}
	return doc, g, nil
}

// SaveGenesis checks a genesis document and puts it into a home.
func SaveGenesis(home string, doc []byte) error {
	if _, _, err := ParseGenesis(doc); err != nil {
		return err
	}
	return lifecycle.WriteFile(genesisPath(home), doc, 0o644)
}

// LoadGenesis reads the genesis of a home.
func LoadGenesis(home string) (*types.GenesisDoc, *consensus.Genesis, error) {
	b, err := os.ReadFile(genesisPath(home))
	if err != nil {
		return nil, nil, fmt.Errorf("read genesis: %w", err)
	}
	doc, g, err := ParseGenesis(b)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", genesisPath(home), err)
	}
	return doc, g, nil
}
