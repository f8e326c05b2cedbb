package compat

import (
	"encoding/hex"
	"net/http"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer"
)

// cosmosKey is an ed25519 key in protobuf's JSON.
type cosmosKey struct {
	Type string `json:"@type"`
	Key  []byte `json:"key"`
}

func keyOf(text string) (cosmosKey, error) {
	raw, err := hex.DecodeString(text)
	return cosmosKey{"/cosmos.crypto.ed25519.PubKey", raw}, err
}

// cosmosVoter is a member of a vote set. Its address is in hexadecimal: we have
// no bech32 ones.
type cosmosVoter struct {
	Address  string    `json:"address"`
	Key      cosmosKey `json:"pub_key"`
	Power    string    `json:"voting_power"`
	Priority string    `json:"proposer_priority"`
}

type cosmosVoteSet struct {
	Height     string        `json:"block_height"`
	Validators []cosmosVoter `json:"validators"`
	Pagination cosmosPage    `json:"pagination"`
}

// cosmosVoters answers with the vote set of the next block.
func cosmosVoters(v *visit) (any, error) {
	set, err := ask[explorer.Validators](v, "/v1/validators")
	if err != nil {
		return nil, err
	}
	out := &cosmosVoteSet{Height: decimal(set.Next), Validators: []cosmosVoter{}, Pagination: cosmosPage{Total: decimal(len(set.Items))}}
	for _, one := range set.Items {
		key, err := keyOf(one.ConsensusKey)
		if err != nil {
			return nil, err
		}
		out.Validators = append(out.Validators, cosmosVoter{one.Address, key, decimal(one.Votes), "0"})
	}
	return out, nil
}

type cosmosDescription struct {
	Moniker string `json:"moniker"`
	Details string `json:"details"`
}

// cosmosStaker is a validator as the staking module has it: its tokens are its
// votes, its operator the miner or account that is rewarded.
type cosmosStaker struct {
	Operator    string            `json:"operator_address"`
	Key         cosmosKey         `json:"consensus_pubkey"`
	Jailed      bool              `json:"jailed"`
	Status      string            `json:"status"`
	Tokens      string            `json:"tokens"`
	Shares      string            `json:"delegator_shares"`
	Description cosmosDescription `json:"description"`
}

type cosmosStakers struct {
	Validators []cosmosStaker `json:"validators"`
	Pagination cosmosPage     `json:"pagination"`
}

const bonded = "BOND_STATUS_BONDED"

func stakerOf(one *explorer.Validator) (cosmosStaker, error) {
	key, err := keyOf(one.ConsensusKey)
	operator := one.Miner
	if operator == "" {
		operator = one.Reward
	}
	return cosmosStaker{operator, key, false, bonded, decimal(one.Votes), decimal(one.Votes) + ".000000000000000000",
		cosmosDescription{Moniker: operator, Details: "consensus address " + one.Address}}, err
}

// stakers are the validators of the next block; there are no others.
func (v *visit) stakers() ([]cosmosStaker, error) {
	set, err := ask[explorer.Validators](v, "/v1/validators")
	if err != nil {
		return nil, err
	}
	out := []cosmosStaker{}
	for _, one := range set.Items {
		s, err := stakerOf(one)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func cosmosValidators(v *visit) (any, error) {
	if status := v.param("status"); status != "" && status != bonded {
		return &cosmosStakers{Validators: []cosmosStaker{}, Pagination: cosmosPage{Total: "0"}}, nil
	}
	all, err := v.stakers()
	if err != nil {
		return nil, err
	}
	return &cosmosStakers{all, cosmosPage{Total: decimal(len(all))}}, nil
}

type cosmosOneStaker struct {
	Validator cosmosStaker `json:"validator"`
}

func cosmosValidator(v *visit) (any, error) {
	all, err := v.stakers()
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if one.Operator == v.part("address") {
			return &cosmosOneStaker{one}, nil
		}
	}
	return nil, refusal(http.StatusNotFound, "no validator has the operator %.80q", v.part("address"))
}

type cosmosBond struct {
	Bonded    string `json:"bonded_tokens"`
	NotBonded string `json:"not_bonded_tokens"`
}

type cosmosPoolAnswer struct {
	Pool cosmosBond `json:"pool"`
}

func cosmosPool(v *visit) (any, error) {
	set, err := ask[explorer.Validators](v, "/v1/validators")
	if err != nil {
		return nil, err
	}
	return &cosmosPoolAnswer{cosmosBond{decimal(set.Votes), "0"}}, nil
}

// cosmosAccountBody is an account's number of messages.
type cosmosAccountBody struct {
	Type     string     `json:"@type"`
	Address  string     `json:"address"`
	Key      *cosmosKey `json:"pub_key"` // null: addresses are hashes of keys
	Number   string     `json:"account_number"`
	Sequence string     `json:"sequence"` // nonce of the next message
}

type cosmosAccountAnswer struct {
	Account cosmosAccountBody `json:"account"`
}

func cosmosAccount(v *visit) (any, error) {
	a, err := ask[explorer.Account](v, "/v1/accounts/"+escape(v.part("address")))
	switch {
	case err != nil:
		return nil, err
	case !a.Exists:
		return nil, refusal(http.StatusNotFound, "account %s not found", a.Address)
	}
	return &cosmosAccountAnswer{cosmosAccountBody{Type: "/cosmos.auth.v1beta1.BaseAccount", Address: a.Address, Number: "0", Sequence: decimal(a.Nonce)}}, nil
}

type cosmosCoin struct {
	Denom  string `json:"denom"`
	Amount string `json:"amount"`
}

func coin(amount string) cosmosCoin { return cosmosCoin{denom, amount} }

type cosmosBalanceList struct {
	Balances   []cosmosCoin `json:"balances"`
	Pagination cosmosPage   `json:"pagination"`
}

// coinsOf is an address' money; one that was never used has none, as there.
func (v *visit) coinsOf(address string) (string, error) {
	if _, err := chain.ParseMiner(address); err != nil {
		a, err := ask[explorer.Account](v, "/v1/accounts/"+escape(address))
		if err != nil {
			return "", err
		}
		return a.Balance.String(), nil
	}
	_, balance, _, err := v.balanceOf(address)
	return balance, err
}

func cosmosBalances(v *visit) (any, error) {
	balance, err := v.coinsOf(v.part("address"))
	if err != nil {
		return nil, err
	}
	return &cosmosBalanceList{[]cosmosCoin{coin(balance)}, cosmosPage{Total: "1"}}, nil
}

type cosmosOneBalance struct {
	Balance cosmosCoin `json:"balance"`
}

func cosmosBalance(v *visit) (any, error) {
	balance, err := v.coinsOf(v.part("address"))
	if err != nil {
		return nil, err
	}
	return &cosmosOneBalance{v.onlyOurs(balance)}, nil
}

// onlyOurs is an amount of the coin that the request names: of every other
// coin, there is none.
func (v *visit) onlyOurs(amount string) cosmosCoin {
	if d := v.param("denom"); d != denom {
		return cosmosCoin{d, "0"}
	}
	return coin(amount)
}

type cosmosSupplyList struct {
	Supply     []cosmosCoin `json:"supply"`
	Pagination cosmosPage   `json:"pagination"`
}

// existing is all money that was minted and not burned.
func (v *visit) existing() (string, error) {
	s, err := ask[explorer.SupplyDetail](v, "/v1/supply")
	if err != nil {
		return "", err
	}
	left, err := s.Minted.Sub(s.Burned)
	return left.String(), err
}

func cosmosSupply(v *visit) (any, error) {
	all, err := v.existing()
	if err != nil {
		return nil, err
	}
	return &cosmosSupplyList{[]cosmosCoin{coin(all)}, cosmosPage{Total: "1"}}, nil
}

type cosmosOneSupply struct {
	Amount cosmosCoin `json:"amount"`
}

func cosmosSupplyOf(v *visit) (any, error) {
	all, err := v.existing()
	if err != nil {
		return nil, err
	}
	return &cosmosOneSupply{v.onlyOurs(all)}, nil
}

type cosmosUnit struct {
	Denom    string   `json:"denom"`
	Exponent int      `json:"exponent"`
	Aliases  []string `json:"aliases"`
}

type cosmosMetadata struct {
	Description string       `json:"description"`
	Units       []cosmosUnit `json:"denom_units"`
	Base        string       `json:"base"`
	Display     string       `json:"display"`
	Name        string       `json:"name"`
	Symbol      string       `json:"symbol"`
}

type cosmosMetadataList struct {
	Metadatas  []cosmosMetadata `json:"metadatas"`
	Pagination cosmosPage       `json:"pagination"`
}

func cosmosCoins(*visit) (any, error) {
	return &cosmosMetadataList{[]cosmosMetadata{{"The coin of Perdure", []cosmosUnit{{denom, 0, []string{}}, {"pdr", 18, []string{"PDR"}}},
		denom, "pdr", "Perdure", "PDR"}}, cosmosPage{Total: "1"}}, nil
}
