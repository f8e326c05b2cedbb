package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/perdure/perdure/chain/node"
)

// askChild runs a process that does one thing and ends.
func askChild(command []string, c *childConfig, v any) error {
	p, err := startChild(command, nil, c)
	if err != nil {
		return err
	}
	return errors.Join(p.read(v), p.close())
}

// childConfig is what a process of bench explorer is told on its first line of
// input: exactly one field.
type childConfig struct {
	Server *serverConfig `json:"server,omitempty"`
	Load   *loadConfig   `json:"load,omitempty"`
	Node   *nodeConfig   `json:"node,omitempty"`
	Listen *listenConfig `json:"listen,omitempty"`
}

// RunExplorerChild is the other process of bench explorer: it serves, asks or
// listens as the first line of in says, and writes lines of JSON to out.
func RunExplorerChild(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, longestLine)
	if !lines.Scan() {
		return errors.Join(errors.New("nothing to do"), lines.Err())
	}
	var c childConfig
	if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
		return fmt.Errorf("what there is to do: %w", err)
	}
	write := json.NewEncoder(out)
	switch {
	case c.Server != nil:
		node.TuneProcess()
		return runServer(ctx, c.Server, lines, write)
	case c.Node != nil:
		node.TuneProcess()
		return runNode(ctx, c.Node, lines, write)
	case c.Listen != nil:
		heard, err := runListeners(ctx, c.Listen)
		if err != nil {
			return err
		}
		return write.Encode(heard)
	case c.Load != nil:
		asked, err := runLoad(ctx, c.Load)
		if err != nil {
			return err
		}
		return write.Encode(asked)
	}
	return errors.New("nothing to do")
}
