package main

import (
	"bytes"
	"os"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/perdure/perdure/retrieval/car"
)

// archive writes a CAR with one raw block: archive FILE TEXT.
func archive(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: archive FILE TEXT")
	}
	hash, err := mh.Sum([]byte(args[1]), mh.SHA2_256, -1)
	ts.Check(err)
	root := cid.NewCidV1(cid.Raw, hash)
	var out bytes.Buffer
	w, err := car.NewWriter(&out, root)
	ts.Check(err)
	ts.Check(w.Put(root, []byte(args[1])))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), out.Bytes(), 0o644))
}
