package explorer

import (
	"encoding/binary"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/index"
)

// RichAccount is an account in the list by balance.
type RichAccount struct {
	Rank    uint64       `json:"rank"` // from 1, as counted along the pages
	Address string       `json:"address"`
	Balance chain.Amount `json:"balance"`
	Share   float64      `json:"share"` // of all money that is not burned
}

// rankSize is how many bytes of a cursor count what came before.
const rankSize = 4

// ranked splits a page's cursor into the rank that it had reached and the rest.
func ranked(p *index.Page) (rank uint64, err error) {
	if p.After == nil {
		return 0, nil
	}
	if len(p.After) <= rankSize {
		return 0, index.ErrPlace
	}
	rank = uint64(binary.BigEndian.Uint32(p.After))
	p.After = p.After[rankSize:]
	return rank, nil
}

// rankedNext is the cursor behind a row of a rank.
func rankedNext(rank uint64, next []byte) []byte {
	if next == nil {
		return nil
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(rank)), next...)
}

// accounts lists the accounts that have money, the richest first.
func (a *API) accounts(q *query) (any, error) {
	s, err := q.indexed()
	if err != nil {
		return nil, err
	}
	return listOf(q, func(p index.Page, add func(*RichAccount)) ([]byte, error) {
		rank, err := ranked(&p)
		if err != nil {
			return nil, err
		}
		present, err := s.Now()
		if err != nil {
			return nil, err
		}
		supply := &present.Point.Levels.Supply
		all, err := supply.Minted.Sub(supply.Burned)
		if err != nil {
			return nil, err
		}
		next, err := s.Rich(p, func(address []byte, balance chain.Amount) (bool, error) {
			rank++
			add(&RichAccount{rank, q.addressBytes(address), balance, share(balance.Big(), all.Big())})
			return true, nil
		})
		return rankedNext(rank, next), err
	})
}

// BalanceChange is what a block did to the free money of an account or a miner.
type BalanceChange struct {
	Height  chain.Height `json:"height"`
	Time    string       `json:"time"`
	Before  chain.Amount `json:"before"`
	Balance chain.Amount `json:"balance"` // after the block
	Change  string       `json:"change"`  // attoPDR, with a minus if it became less
}

// balances lists the balances of an account or a miner.
func (a *API) balances(q *query) (any, error) {
	who, err := parseAddress("address", q.r.PathValue("address"))
	if err != nil {
		return nil, err
	}
	return history(q, 8, func(s *index.Snapshot, p index.Page, each func(*index.Balance) (bool, error)) ([]byte, error) {
		return s.Balances(who.Bytes(), p, each)
	}, func(b *index.Balance) (chain.Height, *BalanceChange) {
		change := b.After.Big()
		change.Sub(change, b.Before.Big())
		return b.Height, &BalanceChange{b.Height, clock(b.Time), b.Before, b.After, change.String()}
	})
}
