package piece

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ipfs/go-cid"
)

// TestCIDv2 checks the known answers of FRC-0069 and of the published piece
// libraries, and that what is written is read back.
func TestCIDv2(t *testing.T) {
	for _, c := range []struct {
		zeros int
		want  string
	}{
		{0, "bafkzcibcp4bdomn3tgwgrh3g532zopskstnbrd2n3sxfqbze7rxt7vqn7veigmy"},
		{127, "bafkzcibcaabdomn3tgwgrh3g532zopskstnbrd2n3sxfqbze7rxt7vqn7veigmy"},
	} {
		info, err := Commit(bytes.NewReader(make([]byte, c.zeros)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := info.CIDv2()
		if err != nil || got.String() != c.want {
			t.Errorf("%d zeros: %s, %v, want %s", c.zeros, got, err, c.want)
		}
		back, err := ParseCIDv2(got)
		if err != nil || back != info {
			t.Errorf("%d zeros: read back %+v, %v, want %+v", c.zeros, back, err, info)
		}
	}
	good, err := Commit(bytes.NewReader([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]Info{
		"no CID": {PaddedSize: 128}, "size no power of two": {good.CID, 129, 1}, "too small": {good.CID, 64, 1},
		"too large": {good.CID, 2 * MaxPadded, 1}, "payload over size": {good.CID, 128, 128},
	} {
		if got, err := bad.CIDv2(); !errors.Is(err, ErrCID) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for _, bad := range []cid.Cid{{}, good.CID} {
		if got, err := ParseCIDv2(bad); !errors.Is(err, ErrCID) {
			t.Errorf("%s: %+v, %v", bad, got, err)
		}
	}
}

// FuzzCIDv2: no CID breaks the reader, and what it takes has that one form.
func FuzzCIDv2(f *testing.F) {
	for _, text := range []string{
		"bafkzcibcp4bdomn3tgwgrh3g532zopskstnbrd2n3sxfqbze7rxt7vqn7veigmy", "bafkzcibcaabdomn3tgwgrh3g532zopskstnbrd2n3sxfqbze7rxt7vqn7veigmy",
	} {
		f.Add(cid.MustParse(text).Bytes())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := cid.Cast(raw)
		if err != nil {
			return
		}
		info, err := ParseCIDv2(c)
		if err != nil {
			return
		}
		if again, err := info.CIDv2(); err != nil || !again.Equals(c) {
			t.Errorf("%s is %+v, which is %s, %v", c, info, again, err)
		}
	})
}
