package compat

import (
	"time"

	"github.com/perdure/perdure/chain/explorer"
)

// paceOf is the average time between consecutive blocks, newest first, in
// milliseconds; 0 for fewer than two. Times are whole seconds, so that it needs
// many blocks to be near.
func paceOf(blocks []*explorer.Block) float64 {
	if len(blocks) < 2 {
		return 0
	}
	newest, err := time.Parse(time.RFC3339, blocks[0].Time)
	if err != nil {
		return 0
	}
	oldest, err := time.Parse(time.RFC3339, blocks[len(blocks)-1].Time)
	if err != nil {
		return 0
	}
	return float64(newest.Sub(oldest).Milliseconds()) / float64(len(blocks)-1)
}
