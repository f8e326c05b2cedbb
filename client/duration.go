package client

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/chain/consensus"
)

// Duration is how long to store: so many blocks, or at least so much time. The
// zero Duration is the default.
type Duration struct {
	Blocks uint64
	Time   time.Duration
}

// ParseDuration reads blocks ("600b") or a time: what time.ParseDuration reads,
// and days ("7d") and weeks ("2w").
func ParseDuration(text string) (Duration, error) {
	bad := fmt.Errorf("%q: want blocks like 600b, or a time like 30m, 12h, 7d", text)
	if n, ok := strings.CutSuffix(text, "b"); ok {
		blocks, err := strconv.ParseUint(n, 10, 64)
		if err != nil || blocks == 0 {
			return Duration{}, bad
		}
		return Duration{Blocks: blocks}, nil
	}
	for suffix, day := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			count, err := strconv.ParseUint(n, 10, 16)
			if err != nil || count == 0 || count > 36_500 {
				return Duration{}, bad
			}
			return Duration{Time: time.Duration(count) * day}, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return Duration{}, bad
	}
	return Duration{Time: d}, nil
}

// defaultPeriods is the default duration in proving periods.
const defaultPeriods = 20

// In is the duration in blocks of a network: times are rounded up to whole
// proving periods, and to the network's least duration.
func (d Duration) In(p *consensus.Params) (uint64, error) {
	blocks := d.Blocks
	switch {
	case d.Time > 0:
		millis := uint64(d.Time.Milliseconds())
		blocks = (millis + p.BlockMillis - 1) / p.BlockMillis
		blocks = max((blocks+p.Period()-1)/p.Period()*p.Period(), p.MinDuration)
	case blocks == 0:
		blocks = max(defaultPeriods*p.Period(), p.MinDuration)
	}
	if blocks < p.MinDuration || blocks > p.MaxDuration() {
		return 0, fmt.Errorf("duration of %d blocks, the network takes %d to %d", blocks, p.MinDuration, p.MaxDuration())
	}
	return blocks, nil
}
