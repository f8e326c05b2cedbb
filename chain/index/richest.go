package index

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
)

// crowd is how many accounts one step of balances may hold before they are no longer
// put in order: all of a step are read for a page that ends in it.
const crowd = 256

// amountSize is the length of an amount in places.
const amountSize = 16

// holder is an account and its balance.
type holder struct {
	address []byte
	balance chain.Amount
}

// compare orders holders by balance, then address.
func (h holder) compare(o holder) int {
	if c := h.balance.Cmp(o.balance); c != 0 {
		return c
	}
	return bytes.Compare(h.address, o.address)
}

// place is AMOUNT ADDRESS.
func (h holder) place() []byte {
	b := make([]byte, amountSize, amountSize+len(h.address))
	h.balance.Big().FillBytes(b)
	return append(b, h.address...)
}

func holderAt(place []byte) (holder, error) {
	if len(place) <= amountSize || len(place) > amountSize+64 {
		return holder{}, ErrPlace
	}
	balance, err := chain.AmountFromBig(new(big.Int).SetBytes(place[:amountSize]))
	return holder{place[amountSize:], balance}, err
}

// Rich lists the accounts that have money, the richest first. Where more than 256
// have balances that are alike to one part in two thousand, as at a genesis that
// gives all the same, these stand by their addresses.
func (s *Snapshot) Rich(p Page, each func(address []byte, balance chain.Amount) (bool, error)) (next []byte, err error) {
	r := richest{s: s, p: p, each: each}
	within := bounds([]byte{'B'}, p.Upward, nil)
	if p.After != nil {
		after, err := holderAt(p.After)
		if err != nil {
			return nil, err
		}
		r.after = &after
		if step := stepOf(after.balance); p.Upward {
			within.LowerBound = richKey(step, nil)
		} else {
			within.UpperBound = richKey(step+1, nil)
		}
	}
	if r.it, err = s.iterator(within); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.give(r.it)) }()
	err = r.run()
	if errors.Is(err, errEnough) {
		return r.last.place(), nil
	}
	return nil, err
}

// richest goes through the steps of balances.
type richest struct {
	s     *Snapshot
	p     Page
	after *holder // behind which it begins
	it    *pebble.Iterator
	each  func(address []byte, balance chain.Amount) (bool, error)

	taken, visits int
	last          holder
}

func (r *richest) run() error {
	if r.p.Upward {
		r.it.First()
	} else {
		r.it.Last()
	}
	for r.it.Valid() {
		if err := r.step(); err != nil {
			return err
		}
	}
	return nil
}

// move goes on by a row.
func (r *richest) move() {
	if r.p.Upward {
		r.it.Next()
	} else {
		r.it.Prev()
	}
}

// step goes through the accounts of the step that the iterator stands in, and leaves
// it at the next.
func (r *richest) step() error {
	head := bytes.Clone(r.it.Key()[:richHead])
	var after *holder // where the page begins, if that is in this step
	if r.after != nil && bytes.Equal(head, richKey(stepOf(r.after.balance), nil)) {
		after = r.after
	}
	var some []holder
	for ; r.inside(head) && len(some) <= crowd; r.move() {
		some = append(some, holder{address: bytes.Clone(r.it.Key()[richHead:])})
	}
	if len(some) > crowd {
		return r.byAddress(head, after, some)
	}
	for i := range some {
		if err := r.load(&some[i]); err != nil {
			return err
		}
	}
	slices.SortFunc(some, holder.compare)
	if !r.p.Upward {
		slices.Reverse(some)
	}
	for _, h := range some {
		if after != nil {
			if c := h.compare(*after); c == 0 || (c < 0) == r.p.Upward {
				continue
			}
		}
		if err := r.tell(h); err != nil {
			return err
		}
	}
	return nil
}

// byAddress goes through a step that holds a crowd, of which some have been read.
func (r *richest) byAddress(head []byte, after *holder, some []holder) error {
	if after != nil {
		some = nil
		if key := append(head[:richHead:richHead], after.address...); r.p.Upward {
			r.it.SeekGE(append(key, 0))
		} else {
			r.it.SeekLT(key)
		}
	}
	for {
		for _, h := range some {
			if err := r.load(&h); err != nil {
				return err
			}
			if err := r.tell(h); err != nil {
				return err
			}
		}
		if !r.inside(head) {
			return nil
		}
		some = []holder{{address: bytes.Clone(r.it.Key()[richHead:])}}
		r.move()
	}
}

// inside reports whether the iterator stands in the step with that head.
func (r *richest) inside(head []byte) bool {
	return r.it.Valid() && bytes.HasPrefix(r.it.Key(), head)
}

// load reads the balance of an account.
func (r *richest) load(h *holder) error {
	var a chain.Account
	record, err := r.s.Load(chain.Key{Table: chain.TableAccount, ID: string(h.address)}, &a)
	if err == nil && record == nil {
		err = fmt.Errorf("the list by balance names account %x, which is not in the index", h.address)
	}
	h.balance = a.Balance
	return err
}

// tell gives an account.
func (r *richest) tell(h holder) error {
	if r.taken == max(r.p.Limit, 1) || r.visits == maxVisits {
		return errEnough
	}
	take, err := r.each(h.address, h.balance)
	if err != nil {
		return err
	}
	if r.last = h; take {
		r.taken++
	}
	r.visits++
	return nil
}
