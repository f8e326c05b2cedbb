package lifecycle

import (
	"context"
	"errors"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	boom := errors.New("boom")
	var g Group
	stopped := false
	g.Add("done", func(context.Context) error { return nil })
	g.Add("waits", func(ctx context.Context) error {
		<-ctx.Done()
		stopped = true
		return ctx.Err()
	})
	g.Add("fails", func(context.Context) error { return boom })
	err := g.Run(t.Context())
	if !errors.Is(err, boom) || err.Error() != "fails: boom" || !stopped {
		t.Errorf("Run = %v, the other part stopped: %v", err, stopped)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var quiet Group
	quiet.Add("waits", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	if err := quiet.Run(ctx); err != nil {
		t.Errorf("Run after the end of its context = %v", err)
	}
}

func TestClose(t *testing.T) {
	var g Group
	var order []int
	for i := range 3 {
		g.OnClose("part", func() error {
			order = append(order, i)
			if i == 1 {
				return errors.New("stuck")
			}
			return nil
		})
	}
	if err := g.Close(); err == nil || err.Error() != "close part: stuck" {
		t.Errorf("Close = %v", err)
	}
	if err := g.Close(); err != nil || !slices.Equal(order, []int{2, 1, 0}) {
		t.Errorf("closed in order %v, again: %v", order, err)
	}
}
