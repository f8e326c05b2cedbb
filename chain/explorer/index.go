package explorer

import (
	"errors"
	"net/http"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/explorer/access"
	"github.com/perdure/perdure/chain/index"
)

// IndexStatus says how far the index is.
type IndexStatus struct {
	Ready   bool         `json:"ready"`
	Off     bool         `json:"off,omitempty"`     // the node's config switches it off
	First   chain.Height `json:"first"`             // first height of its history
	Height  chain.Height `json:"height"`            // up to which it is complete
	Gaps    []IndexGap   `json:"gaps,omitempty"`    // of the history
	Job     string       `json:"job,omitempty"`     // that runs: rebuild, check
	Through chain.Height `json:"through,omitempty"` // how far a rebuild is
	Check   *IndexCheck  `json:"check,omitempty"`   // the last one since the node started
}

// IndexGap is a run of heights that the index never saw, since it was off when
// the node still had them.
type IndexGap struct {
	From chain.Height `json:"from"`
	To   chain.Height `json:"to"` // in it, too
}

// IndexCheck is what a check of the index found.
type IndexCheck struct {
	Height   chain.Height `json:"height"` // of the index that was checked
	OK       bool         `json:"ok"`
	Problems uint64       `json:"problems"`
}

// IndexDetail is the index and what it was asked to do.
type IndexDetail struct {
	Index  IndexStatus  `json:"index"`
	Jobs   uint64       `json:"jobs"`             // that ended since the node started
	Last   *IndexJob    `json:"last,omitempty"`   // of them
	Report *IndexReport `json:"report,omitempty"` // of the last check since then
	AsOf
}

// IndexJob is how a job ended.
type IndexJob struct {
	Job   string `json:"job"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	Ended string `json:"ended"` // RFC 3339, by the node's clock
}

// IndexReport is what a check looked at, and found.
type IndexReport struct {
	Blocks   uint64   `json:"blocks"`
	Updates  uint64   `json:"updates"`  // of the blocks, held against the Update that the node still has
	Unkept   uint64   `json:"unkept"`   // of the blocks, whose messages were not kept
	Records  uint64   `json:"records"`  // of the mirror
	Compared bool     `json:"compared"` // with the state
	Rows     uint64   `json:"rows"`     // of lists
	Problems []string `json:"problems"` // the first 100
	Millis   int64    `json:"millis"`   // it took
}

// ReportOf is a report as JSON has it.
func ReportOf(r *index.Report) *IndexReport {
	return &IndexReport{r.Blocks, r.Updates, r.Unkept, r.Records, r.Compared, r.Rows, append([]string{}, r.Problems...), r.Took.Milliseconds()}
}

func (a *API) indexRoutes() []route {
	return []route{
		{path: "/v1/index", handle: a.indexDetail},
		{method: http.MethodPost, path: "/v1/index/check", handle: a.indexCheck, scope: access.Admin},
		{method: http.MethodPost, path: "/v1/index/rebuild", query: []string{"force"}, handle: a.indexRebuild, scope: access.Admin},
	}
}

func indexStatusOf(s *index.Status) IndexStatus {
	out := IndexStatus{Ready: s.Ready, Off: s.Off, First: s.First, Height: s.Height, Job: string(s.Job), Through: s.Through}
	for _, g := range s.Gaps {
		out.Gaps = append(out.Gaps, IndexGap(g))
	}
	if s.Check != nil {
		out.Check = &IndexCheck{s.Check.Height, s.Check.OK(), uint64(len(s.Check.Problems)) + s.Check.More}
	}
	return out
}

func (a *API) indexDetail(q *query) (any, error) {
	q.unsteady = true
	s := a.index.Status()
	out := &IndexDetail{Index: indexStatusOf(&s), Jobs: s.Jobs, AsOf: q.asOf()}
	if s.Last != nil {
		out.Last = &IndexJob{string(s.Last.Job), s.Last.Error == "", s.Last.Error, s.Last.Ended.UTC().Format(time.RFC3339)}
	}
	if s.Check != nil {
		out.Report = ReportOf(s.Check)
	}
	return out, nil
}

func (a *API) indexCheck(q *query) (any, error) { return q.order(index.Checking, false) }

func (a *API) indexRebuild(q *query) (any, error) {
	force, err := q.choice("force", "true", "false")
	if err != nil {
		return nil, err
	}
	return q.order(index.Rebuilding, force == 0)
}

// order has the index do a job, and answers how it is.
func (q *query) order(kind index.JobKind, force bool) (any, error) {
	if err := q.ready(); err != nil {
		return nil, err
	}
	before, err := q.api.indexDetail(q)
	if err != nil {
		return nil, err
	}
	err = q.api.index.Ask(kind, q.api.node.Store().Oldest(), force)
	var loss *index.LossError
	switch {
	case errors.As(err, &loss):
		return nil, problem(http.StatusConflict, "%v; force=true does it all the same", loss)
	case errors.Is(err, index.ErrBusy):
		return nil, problem(http.StatusConflict, "%v", err)
	case err != nil:
		return nil, err
	}
	return accepted{before}, nil
}
