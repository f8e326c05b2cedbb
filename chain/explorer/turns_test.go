package explorer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/state/proof"
	"github.com/perdure/perdure/internal/cores"
)

// TestTurns has readers come while all turns are taken: they get theirs in the order
// in which they came, but for one that goes away.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns, read := newTurns(), new(route)
		var taken []func()
		for range cores.Count() {
			done, err := turns.take(t.Context(), read)
			if err != nil {
				t.Fatal(err)
			}
			taken = append(taken, done)
		}
		gone, leave := context.WithCancel(t.Context())
		var came, order []int
		for i := range 20 {
			came = append(came, i)
			ctx := t.Context()
			if i == 7 {
				ctx = gone
			}
			go func() {
				done, err := turns.take(ctx, read)
				if err != nil {
					if i != 7 || !errors.Is(err, context.Canceled) {
						t.Errorf("reader %d: %v", i, err)
					}
					return
				}
				order = append(order, i) // one at a time: the others' turns are not given back
				done()
			}()
			synctest.Wait()
		}
		if done, err := turns.take(t.Context(), &route{method: http.MethodPost}); err != nil {
			t.Errorf("a writer waits: %v", err)
		} else {
			done()
		}
		leave()
		synctest.Wait()
		if len(order) > 0 {
			t.Fatalf("readers %v had a turn while there was none", order)
		}
		taken[0]()
		synctest.Wait()
		if len(order) != 19 {
			t.Fatalf("%d readers had a turn, want 19", len(order))
		}
		if want := slices.DeleteFunc(slices.Clone(came), func(i int) bool { return i == 7 }); !slices.Equal(order, want) {
			t.Fatalf("readers had their turns in the order %v, want %v", order, want)
		}
	})
}

// TestTurnsOfAnswers has an answer wait for a turn: no longer than an answer may take.
func TestTurnsOfAnswers(t *testing.T) {
	n := newNetwork(t)
	n.block()
	api, _ := serve(t, n, func(c *Config) { c.Limits = Limits{PerSecond: 1e6, Burst: 1e6, Time: 50 * time.Millisecond} })
	ask := func() int {
		w := httptest.NewRecorder()
		api.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/supply", nil))
		return w.Code
	}
	var turns []func()
	for range cores.Count() {
		done, err := api.turns.take(t.Context(), new(route))
		if err != nil {
			t.Fatal(err)
		}
		turns = append(turns, done)
	}
	if code := ask(); code != http.StatusServiceUnavailable {
		t.Errorf("without a turn: status %d", code)
	}
	for _, done := range turns {
		done()
	}
	api.limits.Time = time.Minute // what was too short for a turn may be too short for an answer
	if code := ask(); code != http.StatusOK {
		t.Errorf("with a turn: status %d", code)
	}
}

// slow is a network whose next header does not come while a request waits for it.
type slow struct {
	*network
	waits chan struct{}
}

func (s *slow) Prove(ctx context.Context, _ chain.Key, _ chain.Height) (*proof.Bundle, error) {
	s.waits <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestTurnsOfProofs has proofs wait for a header, as many as there are turns: others
// are answered meanwhile.
func TestTurnsOfProofs(t *testing.T) {
	b := &slow{newNetwork(t), make(chan struct{})}
	b.block()
	api, _ := serve(t, b.network, func(c *Config) { c.Backend = b })
	ctx, leave := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for i := range cores.Count() {
		path := "/v1/accounts/" + chain.FormatAddress(addressOf(t, fmt.Sprint(i)), b.params.Network) + "?proof=true"
		waiting.Go(func() {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
			api.Handler().ServeHTTP(httptest.NewRecorder(), r)
		})
	}
	for range cores.Count() {
		<-b.waits
	}
	if code, body := get(t, api.Handler(), "/v1/supply"); code != http.StatusOK {
		t.Errorf("while proofs wait: %d %s", code, body)
	}
	leave()
	waiting.Wait()
}

// TestTurnsOfLists has lists that are asked for as a whole be counted, as many as
// there are turns: others are answered meanwhile.
func TestTurnsOfLists(t *testing.T) {
	n := newNetwork(t)
	n.block()
	api, _ := serve(t, n)
	counts, counted := make(chan struct{}), make(chan struct{})
	of := &route{path: exportPath, handle: func(q *query) (any, error) {
		return q.stream(&forms[0], "endless", nil, func(context.Context, func(any) error) error {
			counts <- struct{}{}
			<-counted
			return nil
		})
	}}
	var counting sync.WaitGroup
	for range cores.Count() {
		counting.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			q, err := api.newQuery(httptest.NewRecorder(), r, of.read(r))
			if err == nil {
				defer q.close()
				_, _, err = api.run(q, of, "")
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range cores.Count() {
		<-counts
	}
	if code, body := get(t, api.Handler(), "/v1/supply"); code != http.StatusOK {
		t.Errorf("while lists are counted: %d %s", code, body)
	}
	close(counted)
	counting.Wait()
}
