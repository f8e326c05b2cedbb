package explorer

import (
	"net/http"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer/live"
	"github.com/perdure/perdure/chain/index"
)

// stream is a GET whose answer goes on as blocks come.
type stream struct {
	path   string
	query  []string // names of the query parameters that it knows
	handle http.HandlerFunc
}

func (a *API) streams() []stream {
	asked := []string{"topics", "cursor", "from"}
	return []stream{{"/v1/live", asked, a.live.Socket}, {"/v1/events/stream", asked, a.live.Events}}
}

// openStreams makes the hub of the live streams.
func (a *API) openStreams() (err error) {
	a.live, err = live.New(live.Config{Feed: feed{a.index, names{a.params.Network}}, ChainID: a.params.ChainID,
		Registry: a.config.Registry, Log: a.log, Limits: a.config.Live,
		Refuse: func(w http.ResponseWriter, r *http.Request, status int, oldest chain.Height, detail string) {
			p := problem(status, "%s", detail)
			p.Oldest = oldest
			a.refuse(w, r, p)
		}})
	return err
}

// beside routes the streams past what bounds an answer's time.
func (a *API) beside(others http.Handler) http.Handler {
	mux := http.NewServeMux()
	for _, s := range a.streams() {
		handle := s.handle
		if a.index == nil {
			handle = func(w http.ResponseWriter, r *http.Request) { a.refuse(w, r, index.ErrOff) }
		}
		mux.Handle(s.path, a.Admit(Rules{Name: http.MethodGet + " " + s.path, Stream: true, Open: true}, handle))
	}
	mux.Handle("/", others)
	return mux
}
