package main

// A stream is a piece of program in steps that must stay in order, but between which other
// instructions may stand.
type stream []func()

// weave emits streams that do not depend on each other side by side, each spread over the whole
// length. The processor reorders instructions too, but sees only a few hundred at a time.
func weave(first stream, others ...stream) {
	done := make([]int, len(others))
	for i, step := range first {
		for j, other := range others {
			for ; done[j]*len(first) < (i+1)*len(other); done[j]++ {
				other[done[j]]()
			}
		}
		step()
	}
}

// emit emits one stream by itself.
func emit(s stream) { weave(s) }
