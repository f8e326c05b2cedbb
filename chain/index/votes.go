package index

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// Commit is what closed a block: who voted for it, by consensus addresses.
type Commit struct {
	Round uint64
	For   [][]byte // voted for the block
	Nil   [][]byte // voted, for none
}

// Votes are the votes on a block as the next one brought them, by the places in
// the vote set: bit i%8 of byte i/8 is the validator at place i.
type Votes struct {
	Height chain.Height
	Round  uint64
	Set    chain.Height // first height of the vote set
	For    []byte       `cborgen:"maxlen=32"`
	Nil    []byte       `cborgen:"maxlen=32"`
}

// Vote is what one validator did.
type Vote byte

// The votes.
const (
	VoteAbsent Vote = iota
	VoteNil
	VoteFor
)

// String returns the vote's name, as JSON shows it.
func (v Vote) String() string { return [...]string{"absent", "nil", "for"}[v] }

// Of is the vote of the validator at a place of the set.
func (v *Votes) Of(place int) Vote {
	switch {
	case marked(v.For, place):
		return VoteFor
	case marked(v.Nil, place):
		return VoteNil
	}
	return VoteAbsent
}

func marked(bits []byte, i int) bool { return i/8 < len(bits) && bits[i/8]&(1<<(i%8)) != 0 }

// voters are a vote set, and the places of its members.
type voters struct {
	from   chain.Height // first height that it votes at
	raw    []byte       // its row
	set    chain.VoteSet
	places map[string]int // by consensus address
}

// marks are the places of some validators.
func (v *voters) marks(addresses [][]byte) []byte {
	if len(addresses) == 0 {
		return nil
	}
	out := make([]byte, (len(v.set.Validators)+7)/8)
	for _, a := range addresses {
		if i, ok := v.places[string(a)]; ok {
			out[i/8] |= 1 << (i % 8)
		}
	}
	return out
}

// votesPrefix is of the votes by the block that brought them, the one after theirs.
var votesPrefix = []byte{'V'}

// writeVotes writes the votes on the block before, which this one has brought.
func (f *figures) writeVotes(batch *pebble.Batch) error {
	commit := f.b.commit
	if commit == nil {
		return nil
	}
	h := f.b.u.Height - 1
	v, err := f.b.g.votersAt(h)
	if err != nil || v == nil {
		return err
	}
	raw, err := chain.Encode(&Votes{h, commit.Round, v.from, v.marks(commit.For), v.marks(commit.Nil)})
	if err != nil {
		return fmt.Errorf("encode votes: %w", err)
	}
	f.b.under(batch, votesPrefix, nil, raw)
	return nil
}

// votersAt is the vote set of a height that the blocks before have decided; nil
// if the index does not know it. It keeps the one that it has read last: sets
// are long, and stay for many blocks.
func (g *generation) votersAt(h chain.Height) (*voters, error) {
	done, err := g.use()
	if err != nil {
		return nil, err
	}
	defer done()
	from, row, err := votersRow(g.db, h)
	if err != nil || row == nil {
		return nil, err
	}
	if v := g.voters; v != nil && v.from == from && bytes.Equal(v.raw, row) {
		return v, nil
	}
	v := &voters{from: from, raw: row, places: map[string]int{}}
	if err := decodeRecord(chain.VotersKey(from), row, &v.set); err != nil {
		return nil, err
	}
	for i := range v.set.Validators {
		v.places[string(consensus.ConsensusAddress(v.set.Validators[i].PubKey))] = i
	}
	g.voters = v
	return v, nil
}

// votersRow finds the row of the vote set of a height: that with the greatest
// first height up to it. The record at 0 is the genesis validators' and no vote set.
func votersRow(r pebble.Reader, h chain.Height) (from chain.Height, row []byte, err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: recordKey(chain.VotersKey(1)), UpperBound: recordKey(chain.VotersKey(h + 1))})
	if err != nil {
		return 0, nil, fmt.Errorf("read index: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if !it.Last() {
		return 0, nil, it.Error()
	}
	return height(it.Key()[2:]), bytes.Clone(it.Value()), nil
}

func decodeRecord(k chain.Key, row []byte, v chain.CBOR) error {
	r, err := parseRecord(k, row)
	if err != nil {
		return err
	}
	return r.Decode(v)
}

// Voters is the vote set of a height of the history, or of the few after its end
// that are decided, and its first height; nil if the index does not know it.
func (s *Snapshot) Voters(h chain.Height) (from chain.Height, set *chain.VoteSet, err error) {
	from, row, err := votersRow(s.snap, h)
	if err != nil || row == nil {
		return 0, nil, err
	}
	set = new(chain.VoteSet)
	return from, set, decodeRecord(chain.VotersKey(from), row, set)
}

// Votes are the votes on a block; nil while the next block has not come, or if
// the block that brought them was not kept.
func (s *Snapshot) Votes(h chain.Height) (*Votes, error) {
	v := new(Votes)
	ok, err := s.noun(number(bytes.Clone(votesPrefix), uint64(h)+1), v)
	if !ok {
		return nil, err
	}
	return v, nil
}

// AllVotes lists the votes on blocks, the newest first.
func (s *Snapshot) AllVotes(p Page, each func(*Votes) (bool, error)) ([]byte, error) {
	return nouns(s, votesPrefix, 8, p, each)
}
