package car

import (
	"errors"
	"io"
	"testing"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
)

// TestNamed: a name stands in an error once, and goes for who has named it.
func TestNamed(t *testing.T) {
	of := func(text string) cid.Cid {
		c, err := cid.V1Builder{Codec: cid.Raw, MhType: mh.SHA2_256}.Sum([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := of("a"), of("b")
	err := Named("open file", a, Verify(a, []byte("b")))
	if want := "open file " + a.String() + ": " + ErrMismatch.Error(); err.Error() != want || !errors.Is(err, ErrMismatch) {
		t.Errorf("%v, want %s", err, want)
	}
	if err := Unnamed(a, err); err != ErrMismatch {
		t.Errorf("without its name: %v", err)
	}
	if got := Unnamed(b, err); got != err {
		t.Errorf("another name is taken away: %v", got)
	}
	if err := Named("open file", b, err); err.Error() != "open file "+b.String()+": open file "+a.String()+": "+ErrMismatch.Error() {
		t.Errorf("about a block below: %v", err)
	}
	if err := Unnamed(a, io.EOF); err != io.EOF {
		t.Errorf("what has no name: %v", err)
	}
}
