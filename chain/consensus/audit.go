package consensus

import (
	"errors"
	"fmt"

	"github.com/perdure/perdure/chain"
)

// Records is a whole state, read table by table. chain/state's Tree is one.
type Records interface {
	// ForEach calls visit with every record of a table until it fails.
	ForEach(t chain.Table, visit func(id string, record []byte) error) error
}

// Audit recounts, from the records alone, everything that other records sum
// up: free and locked money, pledge and deposits of miners, power, partitions,
// the proof lane, votes, who holds copies of a bid, and the money that each order
// and deal must hold; and that everything that has ended is due to leave the
// state. Its error names what does not agree. It reads the whole state: it is for
// tests and tools, no rule calls it.
func Audit(p *Params, r Records) error {
	a := &audit{params: p, records: r}
	for _, step := range []func() error{a.readGlobal, a.readMiners, a.countSectors, a.checkMiners, a.checkPartitions,
		a.checkVotes, a.countMarket, a.checkCopies, a.checkEnded, a.checkBeacons, a.countAccounts, a.checkSupply} {
		if err := step(); err != nil {
			return fmt.Errorf("audit state of height %d: %w", a.global.Height, err)
		}
	}
	if len(a.problems) > 0 {
		return fmt.Errorf("audit state of height %d: %w", a.global.Height, errors.Join(a.problems...))
	}
	return nil
}

// audit is what one Audit has counted.
type audit struct {
	params       *Params
	records      Records
	global       chain.Global
	free, locked chain.Amount
	miners       []*chain.Miner // in the table's order
	byID         map[chain.MinerID]*chain.Miner
	counted      map[chain.MinerID]*minerCount
	problems     []error
}

// maxProblems bounds what an Audit tells: after the first ones the rest follows.
const maxProblems = 20

// wrong notes something that does not agree.
func (a *audit) wrong(format string, args ...any) {
	if len(a.problems) < maxProblems {
		a.problems = append(a.problems, fmt.Errorf(format, args...))
	}
}

// eachRecord decodes every record of a table.
func eachRecord[T any, P interface {
	*T
	chain.CBOR
}](a *audit, t chain.Table, visit func(id string, v P) error) error {
	return a.records.ForEach(t, func(id string, record []byte) error {
		v := P(new(T))
		if err := chain.Decode(record, v); err != nil {
			return fmt.Errorf("decode %s %x: %w", t, id, err)
		}
		return visit(id, v)
	})
}

// addTo adds amounts to a sum.
func addTo(sum *chain.Amount, amounts ...chain.Amount) error {
	for _, x := range amounts {
		var err error
		if *sum, err = sum.Add(x); err != nil {
			return err
		}
	}
	return nil
}

func (a *audit) readGlobal() error {
	return eachRecord(a, chain.TableGlobal, func(_ string, g *chain.Global) error {
		a.global = *g
		return g.Supply.Check()
	})
}

func (a *audit) countAccounts() error {
	return eachRecord(a, chain.TableAccount, func(_ string, acc *chain.Account) error {
		return addTo(&a.free, acc.Balance)
	})
}

// checkSupply compares what all records hold with the supply.
func (a *audit) checkSupply() error {
	s := &a.global.Supply
	if a.free != s.Accounts || a.locked != s.Locked {
		a.wrong("records hold %s free and %s locked, the supply says %s and %s", a.free, a.locked, s.Accounts, s.Locked)
	}
	return nil
}
