package devnet

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestWires sends bytes over a wire, cuts it, sees that they wait, and gets
// them when it is whole again.
func TestWires(t *testing.T) {
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	w := newWires()
	address, err := w.lay(0, 1, far.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	end, err := far.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer end.Close()
	say := func(text string) {
		t.Helper()
		if _, err := io.WriteString(near, text); err != nil {
			t.Fatal(err)
		}
	}
	heard := func(n int) (string, error) {
		buf := make([]byte, n)
		_, err := io.ReadFull(end, buf)
		return string(buf), err
	}
	say("one")
	if got, err := heard(3); err != nil || got != "one" {
		t.Fatalf("%q, %v", got, err)
	}
	w.cut(1, 2)
	say("two")
	end.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if got, err := heard(3); err == nil {
		t.Fatalf("%q came over a cut wire", got)
	}
	end.SetReadDeadline(time.Time{})
	w.cut(0, 1) // both are on the same side
	if got, err := heard(3); err != nil || got != "two" {
		t.Fatalf("%q, %v", got, err)
	}
	if err := w.close(); err != nil {
		t.Error(err)
	}
	if _, err := heard(1); err == nil {
		t.Error("the wire carries something after it was closed")
	}
}
