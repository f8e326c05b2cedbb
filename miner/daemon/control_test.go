package daemon

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/perdure/perdure/chain"
)

// starting is a daemon as far as its offer goes, and the steps of its start.
type starting struct {
	t      *testing.T
	home   string
	cfg    Config
	daemon *Daemon
}

// load reads the config, as the command does before anything else.
func (s *starting) load() {
	var err error
	if s.cfg, err = LoadConfig(ConfigPath(s.home)); err != nil {
		s.t.Fatal(err)
	}
}

// appear makes it one that can be told.
func (s *starting) appear() {
	s.daemon = &Daemon{opts: Options{Home: s.home, Config: s.cfg}, log: slog.New(slog.DiscardHandler)}
	var err error
	if s.daemon.asks, err = newAsks(s.daemon); err != nil {
		s.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pathAsk, s.daemon.setAsk)
	server := httptest.NewServer(mux)
	s.t.Cleanup(server.Close)
	s.says(server.URL)
}

// says leaves word of where the daemon is.
func (s *starting) says(url string) {
	raw, err := json.Marshal(Info{API: url})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(InfoPath(s.home), raw, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// reread is the last step.
func (s *starting) reread() {
	if err := s.daemon.asks.reread(s.home); err != nil {
		s.t.Fatal(err)
	}
}

// TestAskOfAStartingMiner changes the offer in every moment of a miner's start,
// between any two steps of either side: the miner keeps the new one, and the file
// holds it.
func TestAskOfAStartingMiner(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		for order := range 1 << 6 {
			s := &starting{t: t, home: t.TempDir()}
			old := DefaultConfig()
			old.Ask = AskConfig{Capacity: "1MiB", Price: chain.Atto(1)}
			if err := old.Save(ConfigPath(s.home)); err != nil {
				t.Fatal(err)
			}
			if restarted { // the last run left word of where it was
				gone := httptest.NewServer(http.NotFoundHandler())
				gone.Close()
				s.says(gone.URL)
			}
			want := AskConfig{Capacity: "2MiB", Price: chain.Atto(2)}
			told := false
			tell := func() {
				running, err := tellAsk(t.Context(), s.home, want)
				if err != nil {
					t.Fatal(err)
				}
				told = told || running
			}
			save := func() {
				if err := saveAsk(s.home, want); err != nil {
					t.Fatal(err)
				}
			}
			theirs := []func(){s.load, s.appear, s.reread}
			ours := []func(){tell, save, tell}
			for i := range 6 { // bit i: whose step is the next
				next := &theirs
				if order>>i&1 == 1 {
					next = &ours
				}
				if len(*next) == 0 {
					break // another order has these steps
				}
				if next == &theirs || !told {
					(*next)[0]()
				}
				*next = (*next)[1:]
			}
			if len(theirs)+len(ours) > 0 {
				continue
			}
			if got, _ := s.daemon.asks.current(); got != want {
				t.Errorf("steps %06b: the miner keeps %+v", order, got)
			}
			if cfg, err := LoadConfig(ConfigPath(s.home)); err != nil || cfg.Ask != want {
				t.Errorf("steps %06b: the file holds %+v (%v)", order, cfg.Ask, err)
			}
		}
	}
}
