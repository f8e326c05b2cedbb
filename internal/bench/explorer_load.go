package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"time"
)

// loadConfig is what a process of callers asks of a server: each of them one request
// after the other on its own connection, a route and one of its paths by chance.
type loadConfig struct {
	URL     string        `json:"url"`
	Callers int           `json:"callers"`
	Warm    time.Duration `json:"warm"` // answers within it are not counted
	Time    time.Duration `json:"time"`
	Routes  []loadRoute   `json:"routes"`
	Seed    uint64        `json:"seed"`
}

// loadRoute is one route and the paths that stand for it.
type loadRoute struct {
	Name  string   `json:"name"`
	Paths []string `json:"paths"`
}

// loadReport is what came of a load.
type loadReport struct {
	Routes    []routeReport `json:"routes"`
	Processor time.Duration `json:"processor"` // that the callers used for all answers, those that are not counted, too
	Answers   int           `json:"answers"`   // all of them
}

// share is a row of what somebody used of the processors for an answer.
func (a *loadReport) share(who string, used time.Duration) Row {
	return plain("processor time of "+who+", an answer", "µs", float64(used.Nanoseconds())/1e3/float64(max(a.Answers, 1)))
}

// routeReport is how a route answered.
type routeReport struct {
	Name    string        `json:"name"`
	Answers int           `json:"answers"`
	Refused int           `json:"refused"` // of them, with another status than 200
	Bytes   int           `json:"bytes"`   // of the bodies
	Median  time.Duration `json:"median"`
	P99     time.Duration `json:"p99"`
	Most    time.Duration `json:"most"`
}

// runLoad asks and measures.
func runLoad(ctx context.Context, l *loadConfig) (*loadReport, error) {
	address, err := url.Parse(l.URL)
	if err != nil {
		return nil, err
	}
	callers := make([]*caller, l.Callers)
	failed := make([]error, l.Callers)
	used, start := processorTime(), time.Now()
	var wg sync.WaitGroup
	for i := range callers {
		callers[i] = newCaller(address.Host, l.Routes, rand.New(rand.NewPCG(l.Seed, uint64(i))))
		callers[i].counted, callers[i].until = start.Add(l.Warm), start.Add(l.Warm+l.Time)
		wg.Go(func() { failed[i] = callers[i].run(ctx, l.Routes) })
	}
	wg.Wait()
	out := &loadReport{Processor: processorTime() - used}
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	for i, r := range l.Routes {
		var sum answers
		for _, c := range callers {
			sum.times = append(sum.times, c.answers[i].times...)
			sum.refused += c.answers[i].refused
			sum.bytes += c.answers[i].bytes
		}
		out.Routes = append(out.Routes, sum.loaded(r.Name))
	}
	for _, c := range callers {
		out.Answers += c.asked
	}
	return out, nil
}

// answers are those of one route.
type answers struct {
	times   []time.Duration
	refused int
	bytes   int
}

func (a *answers) loaded(name string) routeReport {
	out := routeReport{Name: name, Answers: len(a.times), Refused: a.refused, Bytes: a.bytes}
	if n := len(a.times); n > 0 {
		slices.Sort(a.times)
		out.Median, out.P99, out.Most = a.times[n/2], a.times[min(n-1, n*99/100)], a.times[n-1]
	}
	return out
}
