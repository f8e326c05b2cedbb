package consensus

import (
	"fmt"

	"github.com/perdure/perdure/chain"
)

// rule is what one kind of message costs and does. apply returns the ID of
// what it made; its error drops everything but the fee.
type rule struct {
	units func(*state, chain.Body) uint64
	apply func(*state, *chain.Message, chain.Body) (uint64, error)
}

// on ties a rule to its body's type.
func on[B chain.Body](units func(*state, B) uint64, apply func(*state, *chain.Message, B) (uint64, error)) rule {
	return rule{
		units: func(s *state, b chain.Body) uint64 { return units(s, b.(B)) },
		apply: func(s *state, m *chain.Message, b chain.Body) (uint64, error) { return apply(s, m, b.(B)) },
	}
}

// rules has one line a kind; each noun's file holds its two functions.
var rules = map[chain.Kind]rule{
	chain.KindTransfer:          on(transferUnits, applyTransfer),
	chain.KindCreateMiner:       on(createMinerUnits, applyCreateMiner),
	chain.KindUpdateMiner:       on(updateMinerUnits, applyUpdateMiner),
	chain.KindPreCommitSectors:  on(preCommitUnits, applyPreCommit),
	chain.KindProveCommit:       on(proveCommitUnits, applyProveCommit),
	chain.KindSubmitWindowProof: on(windowProofUnits, applyWindowProof),
	chain.KindDeclareFaults:     on(declareFaultsUnits, applyDeclareFaults),
	chain.KindDeclareRecoveries: on(declareRecoveriesUnits, applyDeclareRecoveries),
	chain.KindTerminateSectors:  on(terminateUnits, applyTerminate),
	chain.KindExtendSectors:     on(extendUnits, applyExtend),
	chain.KindPlaceBid:          on(placeBidUnits, applyPlaceBid),
	chain.KindPlaceAsk:          on(placeAskUnits, applyPlaceAsk),
	chain.KindCancelOrder:       on(cancelOrderUnits, applyCancelOrder),
	chain.KindAcceptData:        on(acceptDataUnits, applyAcceptData),
	chain.KindSettleDeals:       on(settleDealsUnits, applySettleDeals),
	chain.KindReplaceOrder:      on(replaceOrderUnits, applyReplaceOrder),
	chain.KindSetRenewal:        on(setRenewalUnits, applySetRenewal),
	chain.KindPublishReceipts:   on(publishReceiptsUnits, applyPublishReceipts),
	chain.KindOpenChannel:       on(openChannelUnits, applyOpenChannel),
	chain.KindTopUpChannel:      on(topUpChannelUnits, applyTopUpChannel),
	chain.KindRedeemVoucher:     on(redeemVoucherUnits, applyRedeemVoucher),
	chain.KindSettleChannel:     on(settleChannelUnits, applySettleChannel),
	chain.KindCollectChannel:    on(collectChannelUnits, applyCollectChannel),
	chain.KindPropose:           on(proposeUnits, applyPropose),
	chain.KindApprove:           on(approveUnits, applyApprove),
}

// Apply executes a block over a view and returns what it changed and what
// became of each message. It is total: every sequence of bytes has a defined
// result. An error means that the view could not be read or that money did
// not add up; the block then has no result and the node must stop.
func Apply(p *Params, v View, verify Verifier, b *Block) (*Update, []Result, error) {
	s, err := newState(p, v, verify)
	if err != nil {
		return nil, nil, err
	}
	u, results, err := s.apply(b)
	if s.broken != nil { // whatever else went wrong followed from it
		return nil, nil, s.broken
	}
	return u, results, err
}

// apply is the story of a block.
func (s *state) apply(b *Block) (*Update, []Result, error) {
	s.global.Height, s.global.Time = b.Height, b.Time
	if err := s.enterRules(NewestRules); err != nil {
		return nil, nil, err
	}
	if err := s.applyEvidence(b); err != nil {
		return nil, nil, fmt.Errorf("apply evidence: %w", err)
	}
	if err := s.applyBeacon(b); err != nil {
		return nil, nil, fmt.Errorf("apply beacon: %w", err)
	}
	reward := s.rewardOf(b.Proposer)
	if err := s.issue(reward); err != nil {
		return nil, nil, fmt.Errorf("issue: %w", err)
	}
	used, results := lanes{}, make([]Result, len(b.Messages))
	for i, raw := range b.Messages {
		var err error
		if results[i], err = s.applyMessage(i, raw, chain.HashBytes(raw), reward, &used); err != nil {
			return nil, nil, fmt.Errorf("apply message %d: %w", i, err)
		}
	}
	if err := s.drain(); err != nil {
		return nil, nil, fmt.Errorf("work off queues: %w", err)
	}
	if err := s.matchOrders(); err != nil {
		return nil, nil, fmt.Errorf("match orders: %w", err)
	}
	if err := s.updateVotes(); err != nil {
		return nil, nil, fmt.Errorf("update votes: %w", err)
	}
	if err := s.updateBaseFee(used.ordinary); err != nil {
		return nil, nil, fmt.Errorf("update base fee: %w", err)
	}
	u, err := s.finish(b, results)
	return u, results, err
}

// finish checks the supply and writes the Update.
func (s *state) finish(b *Block, results []Result) (*Update, error) {
	if err := s.global.Supply.Check(); err != nil {
		return nil, err
	}
	s.store(chain.GlobalKey(), &s.global)
	if err := s.settleBook(); err != nil {
		return nil, err
	}
	changes, err := s.changes()
	if err != nil {
		return nil, err
	}
	u := &Update{Version: UpdateVersion, Height: b.Height, Time: b.Time, Proposer: b.Proposer, Changes: changes, Events: s.events, book: s.book}
	for _, r := range results {
		u.Receipts = append(u.Receipts, Receipt{Hash: r.Hash, Code: uint64(r.Code), Error: r.Error,
			Kind: r.Kind, ID: r.ID, Fee: r.Fee, Units: r.Units})
	}
	return u, nil
}

// applyMessage executes one message and pays its tip to reward. Its error is a
// broken view; a refused message is a Result.
func (s *state) applyMessage(index int, raw []byte, hash chain.Hash, reward chain.Address, used *lanes) (Result, error) {
	r := Result{Hash: hash}
	a, err := s.admit(raw, r.Hash)
	if a != nil {
		r.Kind, r.From, r.Units = a.signed.Message.Kind, a.signed.Message.From, a.units
	}
	if err == nil {
		err = used.take(s.params, a)
	}
	if err == nil {
		err = s.verify.Message(a.signed, raw, r.Hash, s.params.ChainID)
		if err != nil {
			err = refuse(CodeBadSignature, "signature: %v", err)
		}
	}
	if err == nil {
		r.Fee = a.fee
		if err = s.charge(a, reward); err != nil {
			return r, err // admit saw the money: this cannot add up
		}
		s.begin(index)
		if r.ID, err = rules[r.Kind].apply(s, &a.signed.Message, a.body); err != nil {
			s.rollback()
			r.ID = 0
			if a.isProof() {
				if broken := s.void(a); broken != nil {
					return r, broken
				}
			}
		} else {
			s.commit()
		}
	}
	if err != nil {
		r.Code, r.Error = CodeOf(err), err.Error()
	}
	return r, s.broken
}
