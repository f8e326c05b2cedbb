package consensus

import (
	"bytes"
	"crypto/ed25519"
	"math/bits"
	"slices"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
)

// maxMultiaddr is the longest address of a miner's peer in bytes.
const maxMultiaddr = 256

// pairingSignatures is what checking a proof of possession costs, in signatures.
const pairingSignatures = 10

// keysUnits is what checking a key set costs: the proofs of its keys, and the
// record that binds a consensus key.
func keysUnits(p *Params, k *chain.Keys) (units uint64) {
	if k != nil && len(k.BeaconKey) != 0 {
		units += pairingSignatures * p.UnitSignature
	}
	if k != nil && len(k.ConsensusKey) != 0 {
		units += p.UnitSignature + p.UnitWrite
	}
	return units
}

func createMinerUnits(s *state, b *chain.CreateMiner) uint64 {
	return 3*s.params.UnitWrite + keysUnits(s.params, &b.Keys)
}

// applyCreateMiner registers a miner. Owner or worker may send it.
func applyCreateMiner(s *state, m *chain.Message, b *chain.CreateMiner) (uint64, error) {
	if m.From != b.Keys.Owner && m.From != b.Keys.Worker {
		return 0, refuse(CodeFailed, "only its owner or its worker creates a miner")
	}
	if !slices.Contains(s.params.SealProofs, b.SealProof) {
		return 0, refuse(CodeFailed, "sectors of seal proof %d are not taken on %s", b.SealProof, s.params.Name)
	}
	if err := checkKeys(&b.Keys); err != nil {
		return 0, err
	}
	if err := checkPeer(&b.Peer); err != nil {
		return 0, err
	}
	id := s.global.NextMiner
	s.global.NextMiner++
	if err := s.claimVoteKey(id, &b.Keys); err != nil {
		return 0, err
	}
	miner := newMiner(s, id, b.Keys, b.Peer, b.SealProof)
	if len(b.Keys.ConsensusKey) != 0 {
		miner.VoteFrom = s.global.Height + chain.Height(s.params.voteKeyDelay())
		s.enqueue(chain.QueueMinerKeys, miner.VoteFrom, chain.QueueItem{Owner: id})
	}
	s.store(chain.MinerKey(id), miner)
	to, err := chain.MinerAddress(id)
	if err != nil {
		return 0, err
	}
	if err := s.transfer(m.From, to, b.Fund); err != nil {
		return 0, err
	}
	s.emit(Event{Kind: EventMinerCreated, Miner: id, From: m.From.Bytes(), Amount: b.Fund})
	return id, nil
}

func newMiner(s *state, id chain.MinerID, keys chain.Keys, peer chain.Peer, proof abi.RegisteredSealProof) *chain.Miner {
	return &chain.Miner{
		ID: id, Keys: keys, Peer: peer, SealProof: proof, Created: s.global.Height,
		PeriodStart: firstPeriod(s.params, id, s.global.Height), Deadlines: make([]uint64, s.params.Deadlines),
	}
}

// firstPeriod is the first height after created at which a miner's periods
// may start. Heights are spread over the period by the miner's number with
// its bits reversed, so that however many miners there are, their windows
// close as evenly as can be: offset = period x reverse(id - first) / 2^64.
func firstPeriod(p *Params, id chain.MinerID, created chain.Height) chain.Height {
	period := p.Period()
	offset, _ := bits.Mul64(bits.Reverse64(id-chain.FirstMinerID), period)
	next := uint64(created) + 1
	return chain.Height(next + (offset+period-next%period)%period)
}

// checkKeys refuses key sets that could not act.
func checkKeys(k *chain.Keys) error {
	for _, a := range append([]chain.Address{k.Owner, k.Worker, k.Beneficiary}, k.Provers...) {
		if !chain.IsKeyAddress(a) {
			return refuse(CodeFailed, "owner, worker, beneficiary and provers must be key addresses")
		}
	}
	for i, a := range k.Provers {
		if slices.Contains(k.Provers[:i], a) {
			return refuse(CodeFailed, "prover %d is listed twice", i)
		}
	}
	if n := len(k.ConsensusKey); n != 0 && n != ed25519.PublicKeySize {
		return refuse(CodeFailed, "consensus key of %d bytes, want %d or none", n, ed25519.PublicKeySize)
	}
	if len(k.ConsensusKey) == 0 && len(k.ConsensusProof) != 0 {
		return refuse(CodeFailed, "proof of possession of no consensus key")
	}
	if len(k.BeaconKey) == 0 && len(k.BeaconProof) == 0 {
		return nil
	}
	if err := VerifyBeaconKey(k.BeaconKey, k.BeaconProof); err != nil {
		return refuse(CodeFailed, "beacon key: proof of possession: %v", err)
	}
	return nil
}

func checkPeer(p *chain.Peer) error {
	for i, a := range p.Addrs {
		if len(a) == 0 || len(a) > maxMultiaddr {
			return refuse(CodeFailed, "peer address %d has %d bytes, want 1 to %d", i, len(a), maxMultiaddr)
		}
	}
	return nil
}

func updateMinerUnits(s *state, b *chain.UpdateMiner) uint64 {
	return 3*s.params.UnitWrite + keysUnits(s.params, b.Keys)
}

// applyUpdateMiner changes what is given, all or nothing.
func applyUpdateMiner(s *state, m *chain.Message, b *chain.UpdateMiner) (uint64, error) {
	if b.Keys == nil && b.Peer == nil && b.Withdraw == nil {
		return 0, refuse(CodeFailed, "nothing to change")
	}
	miner, err := s.miner(b.Miner)
	if err != nil {
		return 0, err
	}
	if b.Keys != nil {
		if err := s.queueKeys(m.From, miner, b.Keys); err != nil {
			return 0, err
		}
	}
	if b.Peer != nil {
		if m.From != miner.Keys.Worker && m.From != miner.Keys.Owner {
			return 0, refuse(CodeFailed, "only worker or owner changes a miner's peer")
		}
		if err := checkPeer(b.Peer); err != nil {
			return 0, err
		}
		miner.Peer = *b.Peer
	}
	s.store(chain.MinerKey(miner.ID), miner)
	if b.Withdraw != nil {
		if err := s.withdraw(m.From, miner, *b.Withdraw); err != nil {
			return 0, err
		}
	}
	s.emit(Event{Kind: EventMinerUpdated, Miner: miner.ID})
	return 0, nil
}

// queueKeys makes keys act after KeyDelay, keys that vote or contribute to the
// beacon not before voteKeyDelay; a later change replaces one that is pending.
func (s *state) queueKeys(from chain.Address, miner *chain.Miner, keys *chain.Keys) error {
	if from != miner.Keys.Owner {
		return refuse(CodeFailed, "only the owner changes a miner's keys")
	}
	if err := checkKeys(keys); err != nil {
		return err
	}
	if err := s.claimVoteKey(miner.ID, keys); err != nil {
		return err
	}
	delay := s.params.KeyDelay
	if !bytes.Equal(keys.ConsensusKey, miner.Keys.ConsensusKey) || !bytes.Equal(keys.BeaconKey, miner.Keys.BeaconKey) {
		delay = max(delay, s.params.voteKeyDelay())
	}
	miner.PendingKeys, miner.PendingAt = keys, s.global.Height+chain.Height(delay)
	s.enqueue(chain.QueueMinerKeys, miner.PendingAt, chain.QueueItem{Owner: miner.ID})
	return nil
}

func (s *state) withdraw(from chain.Address, miner *chain.Miner, amount chain.Amount) error {
	if from != miner.Keys.Owner && from != miner.Keys.Beneficiary {
		return refuse(CodeFailed, "only owner or beneficiary withdraws from a miner")
	}
	if !miner.Debt.IsZero() {
		return refuse(CodeFailed, "%s owes %s attoPDR of fines: nothing can be withdrawn before they are paid",
			chain.FormatMiner(miner.ID, s.params.Network), miner.Debt)
	}
	source, err := chain.MinerAddress(miner.ID)
	if err != nil {
		return err
	}
	if err := s.transfer(source, miner.Keys.Beneficiary, amount); err != nil {
		return err
	}
	s.emit(Event{Kind: EventTransfer, From: source.Bytes(), To: miner.Keys.Beneficiary.Bytes(), Amount: amount})
	return nil
}

// actPendingKeys lets pending keys act, and a new miner's stand for votes. An
// item of a change that was replaced finds a later PendingAt.
func (s *state) actPendingKeys(item *chain.QueueItem) error {
	var miner chain.Miner
	if !s.load(chain.MinerKey(item.Owner), &miner) {
		return nil
	}
	s.powerChanged(&miner)
	if miner.PendingKeys == nil || miner.PendingAt > s.global.Height {
		return nil
	}
	miner.Keys, miner.PendingKeys, miner.PendingAt = *miner.PendingKeys, nil, 0
	s.store(chain.MinerKey(miner.ID), &miner)
	s.emit(Event{Kind: EventMinerUpdated, Miner: miner.ID, Reason: "new keys act"})
	return nil
}
