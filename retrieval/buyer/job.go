package buyer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/p2p"
)

// job is one fetch whose blocks come in order, from one seller at a time.
type job struct {
	tally
	buyer *Buyer
	req   *Request
	plan  plan
	deal  uint64
	whole bool // one archive is fetched, all of it
	form  retrieval.Form
	parts [][]*source // nil: not quoted yet
	part  int         // that the last session served
}

func (b *Buyer) newJob(r *Request, p plan) *job {
	return &job{tally: tally{budget: NewBudget(r.Budget), notify: r.Progress}, buyer: b, req: r, plan: p, parts: make([][]*source, len(r.Parts))}
}

// run goes from source to source until the plan is done.
func (j *job) run(ctx context.Context) error {
	for !j.plan.done() {
		s, err := j.pick(ctx)
		if err != nil {
			return err
		}
		before := j.stats.Blocks
		err = j.session(ctx, s)
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		came := j.stats.Blocks - before
		if came > 0 {
			j.tryAll()
		}
		if err := j.judge(s, came, err); err != nil {
			return err
		}
	}
	return nil
}

// tryAll makes every source worth asking: the next block is another. How often
// a source failed is not forgotten.
func (j *job) tryAll() {
	for _, part := range j.parts {
		for _, s := range part {
			s.tried = false
		}
	}
}

// judge draws the consequences of how a session ended that brought came blocks.
func (j *job) judge(s *source, came uint64, err error) error {
	s.tried = true
	var own ownError
	switch {
	case err == nil, errors.Is(err, errAbsent):
		return nil
	case errors.As(err, &own):
		return err
	}
	if j.deal != 0 && silent(err) {
		err = errors.New(err.Error()) // nobody else has it: silence is no fault
	}
	drop := s.failed(&j.buyer.cfg, came, err, j.hasOther(string(s.peer.ID)))
	if drop && j.deal == 0 { // whoever fetches for a deal decides when to ask again
		j.buyer.drop(string(s.peer.ID))
	}
	j.seller(s.seat, func(st *SellerStats) { st.left(err, drop) })
	return nil
}

// usable says whether a source may be asked now.
func (j *job) usable(s *source) bool {
	return !s.gone && s.offer != nil && (j.deal != 0 || !j.buyer.Dropped(string(s.peer.ID)))
}

// pick returns the next source to ask: the cheapest of the present part, then
// of the parts after it, that was not asked for the present block. When all
// were, those whose connection broke get another chance, after a while.
func (j *job) pick(ctx context.Context) (*source, error) {
	for i := range j.parts {
		part := (j.part + i) % len(j.parts)
		if j.parts[part] == nil {
			j.quote(ctx, part)
		}
		for _, s := range j.parts[part] {
			if j.usable(s) && !s.tried {
				j.part = part
				return s, nil
			}
		}
	}
	var again *source
	for _, part := range j.parts {
		for _, s := range part {
			if j.usable(s) && s.fails > 0 && (again == nil || s.fails < again.fails) {
				again = s
			}
		}
	}
	if again == nil {
		return nil, j.noSeller(ctx)
	}
	timer := time.NewTimer(again.pause(&j.buyer.cfg))
	defer timer.Stop()
	select {
	case <-timer.C:
		j.part = again.part
		return again, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// noSeller says which block cannot be had, and why from nobody.
func (j *job) noSeller(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	reasons := []error{fmt.Errorf("%s: %w", j.plan.due(), ErrNoSeller)}
	for _, s := range j.stats.Sellers {
		if s.Err != "" {
			reasons = append(reasons, fmt.Errorf("seller %s: %s", p2p.FormatPeer(s.Peer), s.Err))
		}
	}
	return errors.Join(reasons...)
}

// hasOther reports whether a seller other than peer could go on.
func (j *job) hasOther(peer string) bool {
	for i, part := range j.parts {
		if part == nil && len(j.req.Parts[i].Sellers) > 0 && i == j.part {
			return true
		}
		for _, s := range part {
			if i == j.part && j.usable(s) && string(s.peer.ID) != peer {
				return true
			}
		}
	}
	return false
}

// errRemembered is why a seller that was dropped is not asked; it does not
// prolong the time for which it is remembered.
var errRemembered = fmt.Errorf("%w: remembered from before", ErrFault)

// quote asks all sellers of a part at once and sorts them by price.
func (j *job) quote(ctx context.Context, part int) {
	sellers := j.req.Parts[part].Sellers
	found := make([]*source, len(sellers))
	errs := make([]error, len(sellers))
	var all sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i, peer := range sellers {
		found[i] = &source{part: part, peer: peer, seat: j.seat(string(peer.ID))}
		if j.deal == 0 && j.buyer.Dropped(string(peer.ID)) {
			errs[i] = errRemembered
			continue
		}
		if len(sellers) == 1 || j.deal != 0 {
			found[i].offer = &retrieval.Offer{} // there is nothing to compare: the session will tell
			continue
		}
		all.Add(1)
		go func() {
			defer all.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			found[i].offer, errs[i] = j.buyer.quote(ctx, peer, j.req.Parts[part].ask(j.req.Root, 0))
		}()
	}
	all.Wait()
	for i, s := range found {
		if errs[i] != nil {
			j.unquoted(ctx, s, errs[i])
		}
	}
	slices.SortStableFunc(found, func(a, b *source) int {
		switch {
		case a.offer == nil && b.offer == nil:
			return 0
		case a.offer == nil:
			return 1
		case b.offer == nil:
			return -1
		}
		return compareOffers(a.offer, b.offer)
	})
	j.parts[part] = found
}

// unquoted notes that a seller made no offer.
func (j *job) unquoted(ctx context.Context, s *source, err error) {
	s.gone = true
	remembered := errors.Is(err, errRemembered)
	fault := !remembered && errors.Is(err, ErrFault) && ctx.Err() == nil
	if fault {
		j.buyer.drop(string(s.peer.ID))
	}
	j.seller(s.seat, func(st *SellerStats) {
		if remembered && st.Dropped { // by this fetch, which knows better why
			return
		}
		st.left(err, remembered || fault)
	})
}

// session opens a stream to a source and runs it.
func (j *job) session(ctx context.Context, src *source) (err error) {
	var w *purse
	if src.offer != nil && src.offer.Version != 0 {
		if err := j.acceptable(ctx, src.offer); err != nil {
			return err
		}
		if w, err = j.prepare(ctx, src.offer); err != nil {
			return err
		}
	}
	defer func() { w.close() }()
	conn, offer, err := j.buyer.ask(ctx, src.peer, j.req.Parts[src.part].ask(j.req.Root, j.deal))
	if err != nil {
		return err
	}
	s := &sequence{session: session{buyer: j.buyer, tally: &j.tally, seat: src.seat, conn: conn, offer: *offer, purse: w, owed: src.owed}, job: j, peer: string(src.peer.ID)}
	s.need, s.paidBefore = s.chunksLeft, src.ahead()
	conn.ReadAhead(readAhead)
	defer conn.Release()
	defer conn.Abort()
	defer func() { src.roused(s.awake) }()
	if err := j.acceptable(ctx, offer); err != nil {
		s.leave()
		return err
	}
	if w != nil && (offer.Price != src.offer.Price || offer.Payee == nil || *offer.Payee != *src.offer.Payee) {
		src.offer = offer // it changed between quote and session
		s.leave()
		return errors.New("the seller changed its offer")
	}
	src.offer = offer
	j.seller(s.seat, func(st *SellerStats) { st.Price = offer.Price })
	err = s.run(ctx)
	s.showTick() // for what was right before something was not
	w = s.purse
	if err == nil || errors.Is(err, errAbsent) {
		s.leave()
	}
	return err
}

// acceptable checks an offer against what the job may pay and wants.
func (j *job) acceptable(ctx context.Context, o *retrieval.Offer) error {
	if j.whole && !o.Root.Equals(j.req.Root) {
		return fmt.Errorf("%w: its archive has root %s, want %s", ErrFault, o.Root, j.req.Root)
	}
	if j.whole && o.Form != j.form {
		return ownError{&FormError{o.Form}}
	}
	chunks := o.Chunks
	if allFree(o) {
		chunks = 0
	}
	if cost, err := retrieval.Cost(o.Price, chunks+o.Unseal); j.whole && !o.Price.IsZero() && (err != nil || j.req.Budget.Less(cost)) {
		return retrieval.Errorf(retrieval.CodeRefused, "%d chunks at %s attoPDR each, at most %s is paid for all", o.Chunks, o.Price, j.req.Budget)
	}
	return j.buyer.acceptable(ctx, o, j.req.MaxPrice)
}

// acceptable checks an offer against the highest price.
func (b *Buyer) acceptable(ctx context.Context, o *retrieval.Offer, most chain.Amount) error {
	if err := worthUnsealing(o, most); err != nil {
		return err
	}
	if most.Less(o.Price) && !allFree(o) {
		return retrieval.Errorf(retrieval.CodeRefused, "price %s attoPDR a chunk, at most %s is paid", o.Price, most)
	}
	if o.Price.IsZero() {
		return nil
	}
	if b.cfg.Channels == nil {
		return retrieval.Errorf(retrieval.CodeRefused, "this buyer has no wallet to pay with")
	}
	height, err := b.cfg.Channels.Height(ctx)
	if err != nil {
		return fmt.Errorf("ask height: %w", err)
	}
	if o.ExpireAfter > height+chain.Height(b.cfg.MaxLife) {
		return retrieval.Errorf(retrieval.CodeRefused, "vouchers to live beyond height %d, it is %d", o.ExpireAfter, height)
	}
	return nil
}

// prepare gets a purse before the stream is opened, so that no seller waits
// while a channel is opened.
func (j *job) prepare(ctx context.Context, o *retrieval.Offer) (*purse, error) {
	chunks := j.plan.chunks(o)
	if o.Price.IsZero() || chunks <= o.Free {
		return nil, nil
	}
	chunks = j.affordable(o.Price, chunks-o.Free+o.Unseal)
	if chunks == 0 {
		return nil, overBudget(j.budget, o.Price)
	}
	need, err := retrieval.Cost(o.Price, chunks)
	if err != nil {
		return nil, err
	}
	w, err := j.buyer.openPurse(ctx, o, need)
	if err != nil {
		return nil, payError{err}
	}
	return w, nil
}
