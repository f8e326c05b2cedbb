package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"

	commp "github.com/filecoin-project/go-fil-commp-hashhash"

	"github.com/perdure/perdure/porep/piece"
)

// commpBytes is the payload of which commitments are computed.
const commpBytes = 256 << 20

// CommP measures piece commitments of 256 MiB in memory beside go-fil-commp-hashhash, both on one
// core.
func CommP(ctx context.Context, cfg Config) ([]Row, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	payload := make([]byte, commpBytes)
	rand.NewChaCha8([32]byte{7}).Read(payload)
	cfg.Log("commitment of 256 MiB, one core")
	var ours piece.Piece
	var theirs []byte
	times, err := together(ctx, cfg.Rounds, each(func() error {
		info, err := piece.Commit(bytes.NewReader(payload))
		if err == nil {
			ours, err = info.Piece()
		}
		return err
	}), each(func() (err error) {
		var h commp.Calc
		if _, err := io.Copy(&h, bytes.NewReader(payload)); err != nil {
			return err
		}
		theirs, _, err = h.Digest()
		return err
	}))
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(theirs, ours.CommP[:]) {
		return nil, fmt.Errorf("go-fil-commp-hashhash says %x, we say %x", theirs, ours.CommP)
	}
	return []Row{versus("commitment of 256 MiB, one core", "MB/s", "go-fil-commp-hashhash", [2][]float64(times), megabytes(commpBytes))}, nil
}
