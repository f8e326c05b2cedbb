package index

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// TestRich lists accounts by pages of all sizes both ways: few that are alike in
// order, a crowd of them by address, and nobody twice.
func TestRich(t *testing.T) {
	s := newScript(t)
	type line struct {
		address string
		balance chain.Amount
	}
	var want []line
	records := map[chain.Key]chain.CBOR{}
	put := func(i uint64, balance chain.Amount) {
		name := chain.HashBytes(binary.BigEndian.AppendUint64(nil, i))
		id := "\x01" + string(name[:20])
		records[chain.Key{Table: chain.TableAccount, ID: id}] = &chain.Account{Balance: balance}
		if !balance.IsZero() {
			want = append(want, line{id, balance})
		}
	}
	for i := range uint64(crowd + 40) { // alike
		put(i, amount(chain.PDR(1000).Add(chain.Atto(i*7919%1000))))
	}
	for i := range uint64(40) { // alike, too, but fewer
		put(1000+i, amount(chain.PDR(5000).Add(chain.Atto(i*7919%13))))
	}
	for i := range uint64(30) {
		put(2000+i, chain.PDR(i*i))
		put(3000+i, chain.Atto(i))
	}
	s.commit([]consensus.Event{{Kind: consensus.EventBlockReward, Amount: chain.Atto(1)}}, records)
	crowded := stepOf(chain.PDR(1000))
	slices.SortFunc(want, func(a, b line) int {
		if stepOf(a.balance) == crowded && stepOf(b.balance) == crowded {
			return cmp.Compare(a.address, b.address)
		}
		return cmp.Or(a.balance.Cmp(b.balance), cmp.Compare(a.address, b.address))
	})
	look(t, s.x, func(snap *Snapshot) {
		for _, limit := range []int{1, 7, crowd, 10_000} {
			for _, upward := range []bool{true, false} {
				t.Run(fmt.Sprint(limit, upward), func(t *testing.T) {
					var got []line
					for p := (Page{Limit: limit, Upward: upward}); ; {
						n := 0
						next, err := snap.Rich(p, func(address []byte, balance chain.Amount) (bool, error) {
							got = append(got, line{string(address), balance})
							n++
							return true, nil
						})
						must(t, err)
						if n > limit {
							t.Fatalf("a page of %d has %d", limit, n)
						}
						if next == nil {
							break
						}
						p.After = next
					}
					if !upward {
						slices.Reverse(got)
					}
					if !slices.Equal(got, want) {
						t.Errorf("got %v, want %v", got, want)
					}
				})
			}
		}
		for _, after := range [][]byte{{}, make([]byte, amountSize), make([]byte, 200)} {
			if _, err := snap.Rich(Page{Limit: 1, After: after}, nil); err == nil {
				t.Errorf("place %x is taken", after)
			}
		}
	})
	if r, err := s.x.Check(t.Context(), s.store); err != nil || !r.OK() {
		t.Errorf("check: %+v, %v", r, err)
	}
}

// TestSteps holds that steps go up with balances, and that they are small.
func TestSteps(t *testing.T) {
	last := chain.Amount{}
	for a := chain.Atto(1); a.BitLen() < 127; a = amount(a.MulDiv(1001, 1000)) {
		if a == last {
			a = amount(a.Add(chain.Atto(1)))
		}
		if stepOf(a) < stepOf(last) {
			t.Fatalf("step of %s is below that of %s", a, last)
		}
		if wide := amount(a.MulDiv(2049, 2048)); a.BitLen() > 56 && stepOf(amount(wide.Add(chain.Atto(1)))) == stepOf(a) {
			t.Fatalf("%s and %s are alike", a, wide)
		}
		last = a
	}
}

func amount(a chain.Amount, err error) chain.Amount {
	if err != nil {
		panic(err)
	}
	return a
}
