package daemon

import (
	"context"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/wallet"
)

// sender sends and signs as the miner's worker. It implements miner.Sender,
// proving.Submitter, seller.Submitter and buyer.Signer.
type sender struct {
	node   wallet.Node
	key    []byte
	worker *wallet.Sender
	block  time.Duration
}

// proofTip is what each further attempt adds to the tip of a window proof, attoPDR.
const proofTip = 1_000_000_000_000

func newSender(node wallet.Node, key []byte, p *consensus.Params) (*sender, error) {
	w, err := wallet.NewSender(node, key, chain.Amount{})
	return &sender{node: node, key: key, worker: w, block: time.Duration(p.BlockMillis) * time.Millisecond}, err
}

func (s *sender) address() chain.Address { return s.worker.Address() }

// patience bounds the wait for a message's block: a message that fell out of
// every mempool must be sent again.
func (s *sender) patience(blocks int) time.Duration {
	return time.Duration(blocks)*s.block + 10*time.Second
}

// Send implements miner.Sender.
func (s *sender) Send(ctx context.Context, body chain.Body) (*consensus.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience(60))
	defer cancel()
	return receipt(s.worker.Send(ctx, body))
}

// Submit implements seller.Submitter.
func (s *sender) Submit(ctx context.Context, body chain.Body) error {
	_, err := s.Send(ctx, body)
	return err
}

// SignVoucher implements buyer.Signer.
func (s *sender) SignVoucher(_ context.Context, v *chain.Voucher) (chain.Signature, error) {
	text, err := v.SignBytes()
	if err != nil {
		return chain.Signature{}, err
	}
	return s.worker.Sign(text)
}

// SubmitProof implements proving.Submitter.
func (s *sender) SubmitProof(ctx context.Context, p *chain.SubmitWindowProof, attempt int) (*consensus.Receipt, error) {
	w, err := wallet.NewSender(s.node, s.key, chain.Atto(uint64(attempt)*proofTip))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.patience(5))
	defer cancel()
	return receipt(w.Send(ctx, p))
}

func receipt(in *wallet.Inclusion, err error) (*consensus.Receipt, error) {
	if in == nil {
		return nil, err
	}
	return &in.Receipt, err
}
