package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/chain/node"
)

// child is a process that runs RunExplorerChild.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// startChild starts a process and tells it what to do. before stands before its
// command line: another program that runs it.
func startChild(command []string, env []string, c *childConfig) (*child, error) {
	p := &child{cmd: exec.Command(command[0], command[1:]...)}
	p.cmd.Stderr = os.Stderr
	p.cmd.Env = append(os.Environ(), env...)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	p.out.Buffer(nil, 64<<20)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	if err := json.NewEncoder(p.in).Encode(c); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// read reads the next line that the process writes.
func (p *child) read(v any) error {
	if !p.out.Scan() {
		return errors.Join(errors.New("the other process is gone"), p.out.Err())
	}
	return json.Unmarshal(p.out.Bytes(), v)
}

// close ends the process: it stops when its input does.
func (p *child) close() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }

// memory is the most memory that a running process has had resident, in bytes,
// since it was started or fresh was called; 0 where the system does not say.
func (p *child) memory() uint64 {
	raw, err := os.ReadFile(p.proc("status"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	line, _, _ := strings.Cut(rest, "\n")
	kib, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(line), "kB")), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// fresh forgets what memory the process has had resident, and returns what it has
// now, in bytes.
func (p *child) fresh() uint64 {
	const peak = "5" // of what can be reset: the peak of the resident memory
	if err := os.WriteFile(p.proc("clear_refs"), []byte(peak), 0); err != nil {
		return 0
	}
	return p.memory()
}

// processor is what a running process has used of all processors; 0 where the
// system does not say.
func (p *child) processor() time.Duration {
	raw, err := os.ReadFile(p.proc("stat"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:])) // behind the name, from the state on
	const user, system, tick = 11, 12, 10 * time.Millisecond
	if len(fields) <= system {
		return 0
	}
	return time.Duration(ticks(fields[user])+ticks(fields[system])) * tick
}

func ticks(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (p *child) proc(file string) string { return fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file) }

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
	Load   *Load         `json:"load,omitempty"`
	Node   *nodeConfig   `json:"node,omitempty"`
	Listen *listenConfig `json:"listen,omitempty"`
}

// RunExplorerChild is the other process of bench explorer: it serves, asks or
// listens as the first line of in says, and writes lines of JSON to out.
func RunExplorerChild(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	if !lines.Scan() {
		return errors.Join(errors.New("nothing to do"), lines.Err())
	}
	var c childConfig
	if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
		return err
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
