package node

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/cometbft/cometbft/p2p"
	engineversion "github.com/cometbft/cometbft/proto/tendermint/version"
	"github.com/cometbft/cometbft/types"
)

// cosmosHeader is what a Cosmos client reads of a block.
type cosmosHeader struct {
	ID    cosmosID `json:"block_id"`
	Block struct {
		Header struct {
			Version struct {
				Block, App string
			}
			ChainID        string    `json:"chain_id"`
			Height         string    `json:"height"`
			Time           time.Time `json:"time"`
			Last           cosmosID  `json:"last_block_id"`
			LastCommit     []byte    `json:"last_commit_hash"`
			Data           []byte    `json:"data_hash"`
			Validators     []byte    `json:"validators_hash"`
			NextValidators []byte    `json:"next_validators_hash"`
			Consensus      []byte    `json:"consensus_hash"`
			AppHash        []byte    `json:"app_hash"`
			LastResults    []byte    `json:"last_results_hash"`
			Evidence       []byte    `json:"evidence_hash"`
			Proposer       []byte    `json:"proposer_address"`
		} `json:"header"`
		Data struct{ Txs [][]byte } `json:"data"`
	} `json:"block"`
}

type cosmosID struct {
	Hash  []byte `json:"hash"`
	Parts struct {
		Total uint32
		Hash  []byte
	} `json:"part_set_header"`
}

func (i cosmosID) id() types.BlockID {
	return types.BlockID{Hash: i.Hash, PartSetHeader: types.PartSetHeader{Total: i.Parts.Total, Hash: i.Parts.Hash}}
}

// TestForeignBlock asks a running node for a block as a Cosmos client does and
// computes its hash from what is answered; as a Blockscout client by that hash.
func TestForeignBlock(t *testing.T) {
	home, c := newHome(t)
	n, stop := run(t, Options{Home: home, Config: c, Pace: Pace{Commit: time.Millisecond, Hasty: true}})
	awaitIndex(t, n, 3)
	read := func(path string, into any) {
		t.Helper()
		answer, err := http.Get(n.API() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s (%v)\n%s", path, answer.Status, err, body)
		}
		if err := json.Unmarshal(body, into); err != nil {
			t.Fatalf("%s: %v\n%s", path, err, body)
		}
	}
	var b cosmosHeader
	read("/cosmos/base/tendermint/v1beta1/blocks/3", &b)
	h := &b.Block.Header
	number := func(s string) uint64 {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	header := types.Header{Version: engineversion.Consensus{Block: number(h.Version.Block), App: number(h.Version.App)}, ChainID: h.ChainID, Height: int64(number(h.Height)), Time: h.Time,
		LastBlockID: h.Last.id(), LastCommitHash: h.LastCommit, DataHash: h.Data, ValidatorsHash: h.Validators, NextValidatorsHash: h.NextValidators,
		ConsensusHash: h.Consensus, AppHash: h.AppHash, LastResultsHash: h.LastResults, EvidenceHash: h.Evidence, ProposerAddress: h.Proposer}
	hash := header.Hash()
	if want := n.comet.BlockStore().LoadBlockMeta(3); hash.String() != want.BlockID.Hash.String() || !b.ID.id().Equals(want.BlockID) {
		t.Errorf("the answered header has the hash %s and says %x, want %s", hash, b.ID.Hash, want.BlockID.Hash)
	}
	if got := types.ToTxs(b.Block.Data.Txs); types.Txs(got).Hash() == nil || string(got.Hash()) != string(h.Data) {
		t.Errorf("the answered messages are not those of the header")
	}
	var scout struct {
		Height int64
		Hash   string
	}
	read("/api/v2/blocks/"+hex.EncodeToString(hash), &scout)
	if scout.Height != 3 || scout.Hash != hex.EncodeToString(hash) {
		t.Errorf("block by hash: %+v", scout)
	}
	var info struct {
		Node struct {
			ID      p2p.ID `json:"default_node_id"`
			Network string `json:"network"`
		} `json:"default_node_info"`
	}
	read("/cosmos/base/tendermint/v1beta1/node_info", &info)
	if string(info.Node.ID) != n.identity.NodeID || info.Node.Network != n.params.ChainID {
		t.Errorf("node: %+v", info)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
