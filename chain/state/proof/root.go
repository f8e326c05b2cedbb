package proof

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	"github.com/minio/sha256-simd"
	"github.com/multiformats/go-multihash"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/perdure/perdure/chain"
)

// Schema is the version of the tree's layout that this code writes.
const Schema = 1

// Root is the record from which one height's whole state is reached.
type Root struct {
	Schema      uint64
	RuleVersion uint64
	Params      cid.Cid                 // block of the parameters in force after this state, CBOR
	UpdateHash  [32]byte                // consensus.Update.Hash of the Update that made this state
	Single      []byte                  // the Global record's CBOR
	Tables      [chain.TableEnd]cid.Cid // by Table; cid.Undef if empty or single
}

// rootFields is the number of a Root's fields on the wire.
const rootFields = 6

// maxSingle bounds the Global record in bytes.
const maxSingle = 1 << 20

// MarshalCBOR writes the tuple [schema, ruleVersion, params, updateHash,
// global, [link or null by table]].
func (r *Root) MarshalCBOR(w io.Writer) error {
	cw := cbg.NewCborWriter(w)
	if err := cw.WriteMajorTypeHeader(cbg.MajArray, rootFields); err != nil {
		return err
	}
	for _, n := range []uint64{r.Schema, r.RuleVersion} {
		if err := cw.WriteMajorTypeHeader(cbg.MajUnsignedInt, n); err != nil {
			return err
		}
	}
	if err := cbg.WriteCid(cw, r.Params); err != nil {
		return fmt.Errorf("params link: %w", err)
	}
	if err := cbg.WriteByteArray(cw, r.UpdateHash[:]); err != nil {
		return err
	}
	if err := (&cbg.Deferred{Raw: r.Single}).MarshalCBOR(cw); err != nil {
		return fmt.Errorf("global record: %w", err)
	}
	if err := cw.WriteMajorTypeHeader(cbg.MajArray, uint64(len(r.Tables))); err != nil {
		return err
	}
	for i := range r.Tables {
		if err := writeLink(cw, r.Tables[i]); err != nil {
			return err
		}
	}
	return nil
}

func writeLink(w *cbg.CborWriter, c cid.Cid) error {
	if !c.Defined() {
		_, err := w.Write(cbg.CborNull)
		return err
	}
	return cbg.WriteCid(w, c)
}

// UnmarshalCBOR reads what MarshalCBOR writes.
func (r *Root) UnmarshalCBOR(rd io.Reader) error {
	*r = Root{}
	cr := cbg.NewCborReader(rd)
	if err := expect(cr, cbg.MajArray, rootFields); err != nil {
		return err
	}
	for _, n := range []*uint64{&r.Schema, &r.RuleVersion} {
		major, v, err := cr.ReadHeader()
		if err != nil {
			return err
		}
		if major != cbg.MajUnsignedInt {
			return fmt.Errorf("want a number, have CBOR major type %d", major)
		}
		*n = v
	}
	var err error
	if r.Params, err = cbg.ReadCid(cr); err != nil {
		return fmt.Errorf("params link: %w", err)
	}
	if err := expect(cr, cbg.MajByteString, uint64(len(r.UpdateHash))); err != nil {
		return err
	}
	if _, err := io.ReadFull(cr, r.UpdateHash[:]); err != nil {
		return err
	}
	var single cbg.Deferred
	if err := single.UnmarshalCBOR(cr); err != nil {
		return fmt.Errorf("global record: %w", err)
	}
	if len(single.Raw) > maxSingle {
		return fmt.Errorf("global record of %d bytes", len(single.Raw))
	}
	r.Single = single.Raw
	return r.readTables(cr)
}

func (r *Root) readTables(cr *cbg.CborReader) error {
	if err := expect(cr, cbg.MajArray, uint64(len(r.Tables))); err != nil {
		return err
	}
	for i := range r.Tables {
		var raw cbg.Deferred
		if err := raw.UnmarshalCBOR(cr); err != nil {
			return fmt.Errorf("table %s: %w", chain.Table(i), err)
		}
		if bytes.Equal(raw.Raw, cbg.CborNull) {
			continue
		}
		c, err := cbg.ReadCid(bytes.NewReader(raw.Raw))
		if err != nil {
			return fmt.Errorf("table %s: %w", chain.Table(i), err)
		}
		r.Tables[i] = c
	}
	return nil
}

// expect reads a header and refuses any but the wanted one.
func expect(r *cbg.CborReader, major byte, n uint64) error {
	m, v, err := r.ReadHeader()
	if err != nil {
		return err
	}
	if m != major || v != n {
		return fmt.Errorf("want CBOR major type %d of %d, have %d of %d", major, n, m, v)
	}
	return nil
}

// linkPrefix is what all CIDs of the tree start with: CIDv1, dag-cbor,
// sha2-256, 32 bytes.
var linkPrefix = []byte{0x01, 0x71, 0x12, 0x20}

// LinkSize is the size in bytes of a CID of the tree, and of an app hash.
const LinkSize = 36

// ErrLink is returned for a CID of another form than the tree's.
var ErrLink = errors.New("not a CIDv1 of dag-cbor and sha2-256")

// LinkOf returns the CID of a block.
func LinkOf(block []byte) cid.Cid { return LinkOfDigest(sha256.Sum256(block)) }

// LinkOfDigest returns the CID of the block with a SHA-256.
func LinkOfDigest(d [32]byte) cid.Cid {
	mh, err := multihash.Encode(d[:], multihash.SHA2_256)
	if err != nil {
		return cid.Undef // unreachable: the length fits the code
	}
	return cid.NewCidV1(cid.DagCBOR, mh)
}

// Digest returns the SHA-256 in a CID of the tree.
func Digest(c cid.Cid) ([32]byte, error) {
	var d [32]byte
	b := c.Bytes()
	if len(b) != LinkSize || !bytes.Equal(b[:len(linkPrefix)], linkPrefix) {
		return d, ErrLink
	}
	copy(d[:], b[len(linkPrefix):])
	return d, nil
}

// LinkOfAppHash returns the root's CID that an app hash spells.
func LinkOfAppHash(appHash []byte) (cid.Cid, error) {
	c, err := cid.Cast(appHash)
	if err != nil {
		return cid.Undef, fmt.Errorf("app hash: %w", err)
	}
	if _, err := Digest(c); err != nil {
		return cid.Undef, fmt.Errorf("app hash: %w", err)
	}
	return c, nil
}
