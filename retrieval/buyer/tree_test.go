package buyer_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/ipfs/boxo/ipld/unixfs/pb"
	"github.com/ipfs/go-cid"
	dagpb "github.com/ipld/go-codec-dagpb"
	"github.com/ipld/go-ipld-prime/datamodel"
	"github.com/ipld/go-ipld-prime/fluent/qp"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"google.golang.org/protobuf/proto"
)

// grown is a node while a tree of a file is built.
type grown struct {
	cid   cid.Cid
	size  uint64
	below []grown
}

// node makes the file node over children.
func node(t testing.TB, f *file, below []grown) grown {
	t.Helper()
	meta := &pb.Data{Type: pb.Data_File.Enum()}
	total := uint64(0)
	for _, g := range below {
		meta.Blocksizes = append(meta.Blocksizes, g.size)
		total += g.size
	}
	meta.Filesize = proto.Uint64(total)
	raw, err := proto.Marshal(meta)
	if err != nil {
		t.Fatal(err)
	}
	n, err := qp.BuildMap(dagpb.Type.PBNode, 2, func(m datamodel.MapAssembler) {
		qp.MapEntry(m, "Links", qp.List(int64(len(below)), func(l datamodel.ListAssembler) {
			for _, g := range below {
				qp.ListEntry(l, qp.Map(3, func(m datamodel.MapAssembler) {
					qp.MapEntry(m, "Hash", qp.Link(cidlink.Link{Cid: g.cid}))
					qp.MapEntry(m, "Name", qp.String(""))
					qp.MapEntry(m, "Tsize", qp.Int(int64(g.size)))
				}))
			}
		}))
		qp.MapEntry(m, "Data", qp.Bytes(raw))
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := dagpb.Encode(n, &out); err != nil {
		t.Fatal(err)
	}
	c := cidOf(cid.DagProtobuf, out.Bytes())
	f.blocks[c] = out.Bytes()
	return grown{c, total, below}
}

// treeOf is a balanced file over leaves of leafSize bytes with width links a node.
func treeOf(t testing.TB, content []byte, leafSize, width int) *file {
	t.Helper()
	f := &file{blocks: map[cid.Cid][]byte{}, bytes: content}
	var level []grown
	for rest := content; len(rest) > 0 || level == nil; {
		n := min(leafSize, len(rest))
		c := cidOf(cid.Raw, rest[:n])
		f.blocks[c] = rest[:n]
		level = append(level, grown{c, uint64(n), nil})
		rest = rest[n:]
	}
	for len(level) > 1 {
		var above []grown
		for i := 0; i < len(level); i += width {
			above = append(above, node(t, f, level[i:min(i+width, len(level))]))
		}
		level = above
	}
	f.root = level[0].cid
	met := map[cid.Cid]bool{}
	var walk func(g grown)
	walk = func(g grown) {
		if met[g.cid] {
			return
		}
		met[g.cid] = true
		f.order = append(f.order, g.cid)
		for _, b := range g.below {
			walk(b)
		}
	}
	walk(level[0])
	return f
}

func randomBytes(size int, seed byte) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}
