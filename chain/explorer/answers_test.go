package explorer

import (
	"fmt"
	"testing"
)

// TestAnswersAskedTwice: an answer is kept from the second time on that it is asked
// for, across blocks, and no flood of others makes what is kept or remembered grow
// beyond its bounds.
func TestAnswersAskedTwice(t *testing.T) {
	var a answers
	if a.place(1, "1", "/x") != nil {
		t.Error("what was asked for once has a place")
	}
	one := a.place(1, "1", "/x")
	if one == nil || a.place(1, "1", "/x") != one {
		t.Error("what was asked for twice has no place of its own")
	}
	if again := a.place(1, "1, the index further", "/x"); again == nil || again == one {
		t.Error("an answer is kept that speaks of another state")
	}
	if a.place(2, "2", "/x") == nil {
		t.Error("what was asked for at the block before has no place")
	}
	if a.place(1, "1", "/x") != nil {
		t.Error("an answer of the past has a place")
	}
	if a.place(3, "3", "/y"); a.place(4, "4", "/x") != nil {
		t.Error("what nobody asked for since the block before last has a place")
	}
	for i := range 2 * maxAsked {
		for range 2 {
			a.place(5, "5", fmt.Sprintf("/flood/%d", i))
		}
	}
	if len(a.asked) > maxAsked || a.size > maxAnswers+1024 {
		t.Errorf("a flood is remembered by %d names and kept in %d bytes", len(a.asked), a.size)
	}
}
