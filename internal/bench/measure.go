package bench

import (
	"context"
	"slices"
	"time"
)

// task does at least n units of the work that is measured and returns how many it did.
type task func(n int) (done int, err error)

// each makes a task that does its units one by one.
func each(unit func() error) task {
	return func(n int) (int, error) {
		for range n {
			if err := unit(); err != nil {
				return 0, err
			}
		}
		return n, nil
	}
}

// batches makes a task that does size units at a time.
func batches(size int, batch func() error) task {
	return func(n int) (int, error) {
		done := 0
		for ; done < n; done += size {
			if err := batch(); err != nil {
				return 0, err
			}
		}
		return done, nil
	}
}

// slice is how long a task runs at a time: long against the clock's grain, short against the
// moods of a shared machine.
const slice = 60 * time.Millisecond

// started is when the clock of processorTime begins where there is no other.
var started = time.Now()

// calibrate returns how many units of a task fill a slice; it also warms up.
func calibrate(t task) (int, error) {
	for n := 1; ; n *= 2 {
		start := time.Now()
		done, err := t(n)
		if err != nil {
			return 0, err
		}
		if spent := time.Since(start); spent > slice/2 {
			return max(1, int(float64(done)*float64(slice)/float64(spent))), nil
		}
	}
}

// once returns the nanoseconds of a processor that a unit takes, of n or a few more. Time of a
// processor says on a busy machine what time on the clock says on a quiet one.
func once(t task, n int) (float64, error) {
	start := processorTime()
	done, err := t(n)
	return float64((processorTime() - start).Nanoseconds()) / float64(done), err
}

// alone measures a task by itself: nanoseconds a unit of each round.
func alone(ctx context.Context, rounds int, t task) ([]float64, error) {
	times, err := together(ctx, rounds, t)
	if err != nil {
		return nil, err
	}
	return times[0], nil
}

// together measures tasks in turn, a slice each, and returns their nanoseconds a unit by round.
func together(ctx context.Context, rounds int, tasks ...task) ([][]float64, error) {
	units, times := make([]int, len(tasks)), make([][]float64, len(tasks))
	for i, t := range tasks {
		var err error
		if units[i], err = calibrate(t); err != nil {
			return nil, err
		}
	}
	for range rounds {
		for i, t := range tasks {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			ns, err := once(t, units[i])
			if err != nil {
				return nil, err
			}
			times[i] = append(times[i], ns)
		}
	}
	return times, nil
}

// figure is the median of values with the least and the greatest.
func figure(values []float64) Figure {
	sorted := slices.Sorted(slices.Values(values))
	return Figure{Median: sorted[len(sorted)/2], Least: sorted[0], Most: sorted[len(sorted)-1]}
}

// quotients divides round by round.
func quotients(over, under []float64) []float64 {
	out := make([]float64, len(over))
	for i := range out {
		out[i] = over[i] / under[i]
	}
	return out
}

// scaled maps every value.
func scaled(values []float64, f func(float64) float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = f(v)
	}
	return out
}

// versus makes the row of a task and its reference, from nanoseconds a unit; convert turns these
// into the row's unit.
func versus(name, unit, reference string, times [2][]float64, convert func(ns float64) float64) Row {
	compared, ratio := figure(scaled(times[1], convert)), figure(quotients(times[1], times[0]))
	return Row{
		Name: name, Unit: unit, Figure: figure(scaled(times[0], convert)),
		Reference: reference, Compared: &compared, Ratio: &ratio,
	}
}

// total is the sum of figures.
func total(all []float64) (sum float64) {
	for _, x := range all {
		sum += x
	}
	return sum
}

// nanoseconds leaves a time as it is; perSecond turns it into units a second.
func nanoseconds(ns float64) float64 { return ns }

func perSecond(ns float64) float64 { return 1e9 / ns }

// megabytes turns nanoseconds a unit of so many bytes into megabytes (10^6 bytes) a second.
func megabytes(bytes int) func(float64) float64 {
	return func(ns float64) float64 { return float64(bytes) / ns * 1e3 }
}

// plain is a row of one figure that is compared with nothing.
func plain(name, unit string, value float64) Row {
	return Row{Name: name, Unit: unit, Figure: Figure{value, value, value}}
}
