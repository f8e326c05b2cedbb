package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain/explorer"
	"github.com/perdure/perdure/chain/explorer/access"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/node"
	"github.com/perdure/perdure/chain/rpc"
)

// newIndexCommand returns the group of commands about the index of a node.
func newIndexCommand(g *globals) *cobra.Command {
	return newGroup("index", "Look after the index behind the explorer's lists and history", `Look after what a node keeps for the explorer: lists by every filter, and the history
of blocks, messages and events. It is made of the state and its Updates, and can be
made anew from what the node still keeps of them.`,
		newIndexStatus(g), newIndexCheck(g), newIndexRebuild(g), newIndexExport(g))
}

// newIndexStatus returns the command that shows how an index is.
func newIndexStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how far the index is, its gaps, and what it was asked to do", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return ask(cmd, g, "/v1/index") },
	}
}

// newIndexCheck returns the command that checks an index.
func newIndexCheck(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Look for gaps, doubles and differences to the state", Args: cobra.NoArgs,
		Long: `Look for gaps and doubles in the index: heights follow each other, blocks have the rows that
they count and were made of the Updates that the node has, each row of a list names
something that is there, and the records are those of the state. A node that runs
checks itself, at --node, and goes on meanwhile; it asks for the token of its
home, --home, or one by PERDURE_TOKEN. If none runs, the index of --home is checked.

Exit status: 0 the index is whole, 1 it is not, or could not be checked.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			detail, err := doJob(cmd, g, string(index.Checking), "/v1/index/check")
			var off *net.OpError
			switch {
			case errors.As(err, &off):
				return checkHome(cmd, g)
			case err != nil:
				return err
			case detail.Report == nil:
				return errors.New("check: the node has no report")
			}
			return tellCheck(cmd, g, detail.Index.Check, detail.Report)
		},
	}
}

// checkHome checks the index of a home whose node does not run.
func checkHome(cmd *cobra.Command, g *globals) error {
	r, err := node.CheckIndex(cmd.Context(), g.Home)
	if err != nil {
		return err
	}
	return tellCheck(cmd, g, &explorer.IndexCheck{Height: r.Height, OK: r.OK(), Problems: uint64(len(r.Problems)) + r.More}, explorer.ReportOf(r))
}

// tellCheck writes what a check found; problems are an error.
func tellCheck(cmd *cobra.Command, g *globals, check *explorer.IndexCheck, report *explorer.IndexReport) error {
	err := answer(cmd, g, struct {
		*explorer.IndexCheck
		Report *explorer.IndexReport `json:"report"`
	}{check, report})
	if err == nil && !check.OK {
		err = fmt.Errorf("the index has %d problems; perdure index rebuild makes it anew", check.Problems)
	}
	return err
}

// newIndexRebuild returns the command that makes an index anew.
func newIndexRebuild(g *globals) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rebuild", Short: "Make the index anew while the node runs", Args: cobra.NoArgs,
		Long: `Make the index of the node of --node anew, from the oldest state that it keeps and the
Updates since. The index of before answers meanwhile, and both take space. History
that is older than what the node keeps of states is lost by it: that needs
--drop-history. The node asks for the token of its home, --home, or one by PERDURE_TOKEN.

A node that does not run makes its index anew when it starts and finds none:
remove the directory index in its home.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/v1/index/rebuild"
			if force {
				path += "?force=true"
			}
			detail, err := doJob(cmd, g, string(index.Rebuilding), path)
			if err != nil {
				return err
			}
			return answer(cmd, g, detail.Index)
		},
	}
	cmd.Flags().BoolVar(&force, "drop-history", false, "lose the history of which no Updates are kept")
	return cmd
}

// jobPause is how long to wait before a node is asked again whether it is done.
const jobPause = 200 * time.Millisecond

// doJob has the node do a job on its index and waits for its end.
func doJob(cmd *cobra.Command, g *globals, job, path string) (*explorer.IndexDetail, error) {
	n := g.plain()
	defer n.Close()
	token, err := adminToken(g)
	if err != nil {
		return nil, err
	}
	n.Authorize(token)
	var before explorer.IndexDetail
	if err := n.Order(cmd.Context(), path, &before); err != nil {
		return nil, err
	}
	for {
		detail, err := jobDone(cmd.Context(), n, before.Jobs)
		if err != nil {
			return nil, err
		}
		switch {
		case detail == nil:
		case detail.Last.Job != job:
			return nil, fmt.Errorf("%s: the node did a %s instead: ask again", job, detail.Last.Job)
		case !detail.Last.OK:
			return nil, fmt.Errorf("%s: %s", job, detail.Last.Error)
		default:
			return detail, nil
		}
		select {
		case <-time.After(jobPause):
		case <-cmd.Context().Done():
			return nil, fmt.Errorf("%s goes on in the node: %w", job, cmd.Context().Err())
		}
	}
}

// tokenEnv names the environment variable with a token of a node elsewhere.
const tokenEnv = "PERDURE_TOKEN"

// adminToken is the token of tokenEnv, or that of the home's own node; none if
// there is none: the node says what it thinks of that.
func adminToken(g *globals) (string, error) {
	if token := os.Getenv(tokenEnv); token != "" {
		return token, nil
	}
	token, err := access.ReadAdminToken(g.Home)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return token, err
}

// jobDone reads how the index is, nil while no job has ended since.
func jobDone(ctx context.Context, n *rpc.Client, before uint64) (*explorer.IndexDetail, error) {
	var raw json.RawMessage
	if err := n.JSON(ctx, "/v1/index", &raw); err != nil {
		return nil, err
	}
	detail := new(explorer.IndexDetail)
	if err := json.Unmarshal(raw, detail); err != nil {
		return nil, fmt.Errorf("read how the index is: %w", err)
	}
	if detail.Jobs == before || detail.Last == nil {
		return nil, nil
	}
	return detail, nil
}
