package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/seal"
)

// progressEvery is the time between two reports of a step.
const progressEvery = 5 * time.Second

// sealProgress reports how far sectors are, a line at a time: when a step begins, every few seconds,
// and when it ends. Sectors that are labelled together are counted together.
type sealProgress struct {
	out io.Writer
	now func() time.Time

	mutex   sync.Mutex
	step    seal.Step
	sectors map[abi.SectorNumber]progressOf
	start   time.Time // of the step
	known   uint64    // nodes that were done when it began
	told    time.Time // of the last line
}

// progressOf is how far one sector is in a step, in nodes.
type progressOf struct{ done, total uint64 }

func newSealProgress(out io.Writer) *sealProgress {
	return &sealProgress{out: out, now: time.Now}
}

// of returns the Progress of a sector's seal.Config.
func (p *sealProgress) of(number abi.SectorNumber) func(seal.Step, uint64, uint64) {
	return func(step seal.Step, done, total uint64) {
		p.mutex.Lock()
		defer p.mutex.Unlock()
		_, known := p.sectors[number]
		if step != p.step || !known && step != seal.StepLabels {
			p.step, p.sectors, p.start, p.known, p.told = step, make(map[abi.SectorNumber]progressOf), p.now(), 0, time.Time{}
		}
		if !known && step == seal.StepLabels {
			p.known += done // of a checkpoint, most likely: it says nothing of the rate
		}
		p.sectors[number] = progressOf{done, total}
		p.tell()
	}
}

// tell writes a line if it is time.
func (p *sealProgress) tell() {
	var done, total uint64
	for _, s := range p.sectors {
		done, total = done+s.done, total+s.total
	}
	now := p.now()
	if done < total && now.Sub(p.told) < progressEvery {
		return
	}
	p.told = now
	fmt.Fprintf(p.out, "sealing: %s%s\n", p.name(), describeProgress(done, total, p.known, now.Sub(p.start)))
}

// name says what is done for whom.
func (p *sealProgress) name() string {
	if len(p.sectors) > 1 {
		return fmt.Sprintf("%s of %d sectors", p.step, len(p.sectors))
	}
	for number := range p.sectors {
		return fmt.Sprintf("%s of sector %d", p.step, number)
	}
	return string(p.step)
}

// describeProgress says in percent, bytes a second and time how far nodes are of which known were
// done at the start.
func describeProgress(done, total, known uint64, took time.Duration) string {
	text := fmt.Sprintf("  %.1f %%", 100*float64(done)/float64(max(total, 1)))
	if done <= known || took < time.Second {
		return text
	}
	rate := float64(done-known) / took.Seconds() // nodes a second
	text += fmt.Sprintf("  %s/s", humanize.IBytes(uint64(rate*porep.NodeSize)))
	if done == total {
		return text + "  took " + took.Round(time.Second).String()
	}
	left := time.Duration(float64(total-done) / rate * float64(time.Second))
	return text + "  " + left.Round(time.Second).String() + " left"
}
