package consensus

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/perdure/perdure/chain"
)

// RuleVersion is the version of the rules that a new chain starts with.
const RuleVersion = 1

// NewestRules is the latest version of the rules that this program knows.
const NewestRules = RuleVersion

// Genesis is the document that a chain starts from; CometBFT carries its JSON
// as app_state. Whoever has it has the whole state of height 0.
type Genesis struct {
	Params     Params             `json:"params"`
	Accounts   []GenesisAccount   `json:"accounts"`
	Validators []GenesisValidator `json:"validators"`
}

// GenesisAccount is an account's first money.
type GenesisAccount struct {
	Address string       `json:"address"` // key address, either network's form
	Balance chain.Amount `json:"balance"` // attoPDR, decimal string
}

// GenesisValidator is a member of the first vote set. Bytes are base64 in JSON.
type GenesisValidator struct {
	PubKey      []byte `json:"pubKey"`      // ed25519, 32 bytes
	BeaconKey   []byte `json:"beaconKey"`   // BLS12-381 G1, 48 bytes; empty: never contributes
	BeaconProof []byte `json:"beaconProof"` // that its holder has the secret of BeaconKey, G2, 96 bytes
	Power       uint64 `json:"power"`       // votes
	Reward      string `json:"reward"`      // key address: receives tips, is charged for skips
}

// ParseGenesis reads a genesis document strictly: unknown fields, trailing
// data and values that no chain can run with are errors.
func ParseGenesis(b []byte) (*Genesis, error) {
	g := new(Genesis)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(g); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("genesis: data after the document")
	}
	if _, err := GenesisUpdate(g); err != nil {
		return nil, err
	}
	return g, nil
}

// JSON writes the document that ParseGenesis reads.
func (g *Genesis) JSON() ([]byte, error) { return json.MarshalIndent(g, "", "  ") }

type genesisRecord struct {
	key   chain.Key
	value chain.CBOR
}

// GenesisUpdate returns the records of height 0: the accounts, B(0), the vote
// set and the Global record. State and tests start from it alike.
func GenesisUpdate(g *Genesis) (*Update, error) {
	if err := g.Params.Validate(); err != nil {
		return nil, fmt.Errorf("genesis: params: %w", err)
	}
	global := chain.Global{
		RuleVersion: RuleVersion, BaseFee: g.Params.BaseFeeStart, VotersFrom: []chain.Height{1},
		NextMiner: chain.FirstMinerID, NextOrder: 1, NextDeal: 1, NextChannel: 1, NextProposal: 1,
	}
	global.Issuance.Unissued = g.Params.IssuanceTotal
	var changes []Change
	var err error
	if changes, global.Supply, err = g.accounts(); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	if _, err := global.Supply.Minted.Add(g.Params.IssuanceTotal); err != nil {
		return nil, fmt.Errorf("genesis: money of accounts and issuance: %w", err)
	}
	validators, err := g.validators()
	if err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	set, beacon := chain.VoteSet{Validators: validators}, chain.Beacon{Value: GenesisBeacon(g.Params.ChainID)}
	records := []genesisRecord{{chain.GlobalKey(), &global}, {chain.BeaconKey(0), &beacon},
		{chain.VotersKey(0), &set}, {chain.VotersKey(1), &set}}
	for _, v := range validators {
		records = append(records, genesisRecord{chain.VoteKeyKey(ConsensusAddress(v.PubKey)), new(chain.VoteKey)})
	}
	for _, r := range records {
		b, err := chain.Encode(r.value)
		if err != nil {
			return nil, fmt.Errorf("genesis: encode %s: %w", r.key.Table, err)
		}
		changes = append(changes, Change{Table: r.key.Table, ID: []byte(r.key.ID), Value: b})
	}
	slices.SortFunc(changes, func(a, b Change) int {
		if a.Key().Less(b.Key()) {
			return -1
		}
		return 1
	})
	return &Update{Version: UpdateVersion, Changes: changes}, nil
}

func (g *Genesis) accounts() ([]Change, chain.Supply, error) {
	var supply chain.Supply
	var changes []Change
	seen := map[chain.Address]bool{}
	for _, a := range g.Accounts {
		addr, err := chain.ParseAddress(a.Address)
		if err != nil {
			return nil, supply, fmt.Errorf("account: %w", err)
		}
		if !chain.IsKeyAddress(addr) || seen[addr] {
			return nil, supply, fmt.Errorf("account %s: not a key address, or listed twice", a.Address)
		}
		seen[addr] = true
		if supply.Minted, err = supply.Minted.Add(a.Balance); err != nil {
			return nil, supply, fmt.Errorf("account %s: %w", a.Address, err)
		}
		b, err := chain.Encode(&chain.Account{Balance: a.Balance})
		if err != nil {
			return nil, supply, fmt.Errorf("account %s: %w", a.Address, err)
		}
		key := chain.AccountKey(addr)
		changes = append(changes, Change{Table: key.Table, ID: []byte(key.ID), Value: b})
	}
	supply.Accounts = supply.Minted
	return changes, supply, nil
}

func (g *Genesis) validators() ([]chain.Validator, error) {
	if most := g.Params.MaxValidators / 2; len(g.Validators) == 0 || uint64(len(g.Validators)) > most {
		return nil, fmt.Errorf("%d validators, want 1 to %d: half of the places are for storage", len(g.Validators), most)
	}
	var out []chain.Validator
	var votes uint64
	seen := map[string]bool{}
	for i, v := range g.Validators {
		reward, err := chain.ParseAddress(v.Reward)
		switch {
		case err != nil:
			return nil, fmt.Errorf("validator %d: reward: %w", i, err)
		case !chain.IsKeyAddress(reward):
			return nil, fmt.Errorf("validator %d: reward %s is not a key address", i, v.Reward)
		case len(v.PubKey) != ed25519.PublicKeySize || seen[string(v.PubKey)]:
			return nil, fmt.Errorf("validator %d: public key is not 32 bytes, or listed twice", i)
		case v.Power == 0 || v.Power > maxMemberVotes-votes:
			return nil, fmt.Errorf("validator %d: votes must be positive and sum to at most %d", i, uint64(maxMemberVotes))
		}
		if len(v.BeaconKey)+len(v.BeaconProof) != 0 {
			if err := VerifyBeaconKey(v.BeaconKey, v.BeaconProof); err != nil {
				return nil, fmt.Errorf("validator %d: beacon key: proof of possession: %w", i, err)
			}
		}
		seen[string(v.PubKey)] = true
		votes += v.Power
		out = append(out, chain.Validator{PubKey: v.PubKey, BeaconKey: v.BeaconKey, Power: v.Power, Reward: reward})
	}
	return out, nil
}
