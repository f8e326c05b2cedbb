package buyer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval"
	"github.com/perdure/perdure/retrieval/p2p"
)

// source is one seller of one part.
type source struct {
	part  int
	peer  chain.Peer
	offer *retrieval.Offer
	stats int // index in job.stats.Sellers
	tried bool
	fails int  // in a row, without progress
	gone  bool // not asked again in this job
}

// job is one fetch.
type job struct {
	buyer    *Buyer
	req      *Request
	plan     plan
	deal     uint64
	whole    bool // one archive is fetched, all of it
	form     retrieval.Form
	budget   chain.Amount
	parts    [][]*source // nil: not quoted yet
	part     int         // that the last session served
	stats    Stats
	onUpdate func(Stats)
}

func (b *Buyer) newJob(r *Request, p plan) *job {
	return &job{buyer: b, req: r, plan: p, budget: r.Budget, parts: make([][]*source, len(r.Parts)), onUpdate: r.Progress}
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
		if j.stats.Blocks > before {
			j.retryAll()
		}
		if err := j.judge(s, err); err != nil {
			return err
		}
	}
	return nil
}

// retryAll makes every source worth asking again: the next block is another.
func (j *job) retryAll() {
	for _, part := range j.parts {
		for _, s := range part {
			s.tried, s.fails = false, 0
		}
	}
}

// judge draws the consequences of how a session ended.
func (j *job) judge(s *source, err error) error {
	s.tried = true
	var own ownError
	switch {
	case err == nil, errors.Is(err, errAbsent):
		return nil
	case errors.As(err, &own):
		return err
	}
	st := &j.stats.Sellers[s.stats]
	st.Err = err.Error()
	if errors.Is(err, ErrFault) && !(j.deal != 0 && errors.Is(err, p2p.ErrIdle)) {
		st.Dropped, s.gone = true, true
		if j.deal == 0 { // a deal has no other seller: whoever fetches decides when to ask again
			j.buyer.drop(string(s.peer.ID))
		}
		return nil
	}
	s.fails++
	var pay payError
	if s.gone = s.fails > j.buyer.cfg.Retries || errors.As(err, &pay); s.gone {
		return nil
	}
	switch retrieval.CodeOf(err) {
	case 0, retrieval.CodeBusy, retrieval.CodeTimeout, retrieval.CodeUnavailable, retrieval.CodeInternal:
	default: // it would say the same again
		s.gone = true
	}
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
	timer := time.NewTimer(j.buyer.cfg.RetryDelay << (again.fails - 1))
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
		found[i] = &source{part: part, peer: peer, stats: j.statsOf(string(peer.ID))}
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
			found[i].offer, errs[i] = j.buyer.quote(ctx, peer, j.req.Parts[part].ask(0))
		}()
	}
	all.Wait()
	for i, s := range found {
		if errs[i] != nil {
			s.gone = true
			st := &j.stats.Sellers[s.stats]
			if errors.Is(errs[i], errRemembered) && st.Dropped { // by this fetch, which knows better why
				continue
			}
			st.Err = errs[i].Error()
			switch {
			case errors.Is(errs[i], errRemembered):
				st.Dropped = true
			case errors.Is(errs[i], ErrFault) && ctx.Err() == nil:
				st.Dropped = true
				j.buyer.drop(string(s.peer.ID))
			}
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
		return a.offer.Price.Cmp(b.offer.Price)
	})
	j.parts[part] = found
}

// statsOf is where a peer's numbers stand.
func (j *job) statsOf(peer string) int {
	i := slices.IndexFunc(j.stats.Sellers, func(s SellerStats) bool { return s.Peer == peer })
	if i < 0 {
		j.stats.Sellers = append(j.stats.Sellers, SellerStats{Peer: peer})
		i = len(j.stats.Sellers) - 1
	}
	return i
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
	conn, offer, err := j.buyer.ask(ctx, src.peer, j.req.Parts[src.part].ask(j.deal))
	if err != nil {
		return err
	}
	s := &session{buyer: j.buyer, job: j, peer: src.peer, conn: conn, offer: *offer, purse: w, stats: &j.stats.Sellers[src.stats]}
	defer conn.Abort()
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
	s.stats.Price = offer.Price
	err = s.run(ctx, j.plan)
	w = s.purse
	if err == nil || errors.Is(err, errAbsent) {
		s.leave()
	}
	return err
}

// acceptable checks an offer against what the job may pay and wants.
func (j *job) acceptable(ctx context.Context, o *retrieval.Offer) error {
	if j.req.MaxPrice.Less(o.Price) {
		return retrieval.Errorf(retrieval.CodeRefused, "price %s attoPDR a chunk, at most %s is paid", o.Price, j.req.MaxPrice)
	}
	if j.whole && !o.Root.Equals(j.req.Root) {
		return fmt.Errorf("%w: its archive has root %s, want %s", ErrFault, o.Root, j.req.Root)
	}
	if j.whole && o.Form != j.form {
		return ownError{&FormError{o.Form}}
	}
	if o.Price.IsZero() {
		return nil
	}
	if cost, err := retrieval.Cost(o.Price, o.Chunks); j.whole && (err != nil || j.budget.Less(cost)) {
		return retrieval.Errorf(retrieval.CodeRefused, "%d chunks at %s attoPDR each, at most %s is paid for all", o.Chunks, o.Price, j.budget)
	}
	if j.buyer.cfg.Channels == nil {
		return retrieval.Errorf(retrieval.CodeRefused, "this buyer has no wallet to pay with")
	}
	height, err := j.buyer.cfg.Channels.Height(ctx)
	if err != nil {
		return fmt.Errorf("ask height: %w", err)
	}
	if o.ExpireAfter > height+chain.Height(j.buyer.cfg.MaxLife) {
		return retrieval.Errorf(retrieval.CodeRefused, "vouchers to live beyond height %d, it is %d", o.ExpireAfter, height)
	}
	return nil
}

// put hands a block on.
func (j *job) put(ctx context.Context, c cid.Cid, data []byte) error {
	if err := j.req.Sink.Put(ctx, c, data); err != nil {
		return fmt.Errorf("keep block %s: %w", c, err)
	}
	j.stats.Blocks++
	j.stats.Bytes += uint64(len(data))
	return nil
}

func (j *job) count(s *session, bytes uint64) {
	j.stats.Chunks++
	s.stats.Chunks++
	s.stats.Bytes += bytes
}

func (j *job) countPaid(s *session) {
	j.stats.Paid++
	s.stats.Paid++
	if sum, err := j.stats.Spent.Add(s.offer.Price); err == nil {
		j.stats.Spent = sum
	}
}

func (j *job) progress() {
	if j.onUpdate != nil {
		st := j.stats
		st.Sellers = slices.Clone(st.Sellers)
		j.onUpdate(st)
	}
}
