package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/retrieval/p2p"
)

// child is another process of this program, which is told and tells lines of JSON.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// longestLine is the longest line that processes tell each other, in bytes.
const longestLine = 64 << 20

// startChild starts a process, with more in its environment, and tells it what to do.
func startChild(command, env []string, config any) (*child, error) {
	p := &child{cmd: exec.Command(command[0], command[1:]...)}
	p.cmd.Stderr = os.Stderr
	p.cmd.Env = append(os.Environ(), env...)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	p.out.Buffer(nil, longestLine)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	if err := json.NewEncoder(p.in).Encode(config); err != nil {
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

// processor is what the process has used of all processors so far.
func (p *child) processor() time.Duration { return processorOf(p.cmd.Process.Pid) }

func (p *child) proc(file string) string { return procFile(p.cmd.Process.Pid, file) }

func procFile(pid int, file string) string { return fmt.Sprintf("/proc/%d/%s", pid, file) }

// processorOf is what a running process has used of all processors, its threads together; 0 where
// the system does not say.
func processorOf(pid int) time.Duration {
	raw, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:])) // behind the name, from the state on
	const user, system = 11, 12
	const tick = 10 * time.Millisecond // the grain of /proc, on every Linux
	if len(fields) <= system {
		return 0
	}
	sum := time.Duration(0)
	for _, field := range []string{fields[user], fields[system]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		sum += time.Duration(n) * tick
	}
	return sum
}

// shopProcess is a process that runs RunShop.
type shopProcess struct {
	child *child
	addrs [][]string
}

func startShop(command []string, cfg *shopConfig) (*shopProcess, error) {
	p, err := startChild(command, nil, cfg)
	if err != nil {
		return nil, fmt.Errorf("start the seller: %w", err)
	}
	var open shopOpen
	if err := p.read(&open); err != nil {
		return nil, errors.Join(fmt.Errorf("start the seller: %w", err), p.close())
	}
	return &shopProcess{p, open.Addrs}, nil
}

// processor is the processor time that the process has used.
func (p *shopProcess) processor() (time.Duration, error) {
	if _, err := io.WriteString(p.child.in, "\n"); err != nil {
		return 0, err
	}
	var ns int64
	err := p.child.read(&ns)
	return time.Duration(ns), err
}

// peer is where a stall is reached by a transport.
func (p *shopProcess) peer(stall int, transport string) (chain.Peer, error) {
	by := slices.DeleteFunc(slices.Clone(p.addrs[stall]), func(a string) bool { return !strings.Contains(a, transport) })
	if len(by) == 0 {
		return chain.Peer{}, fmt.Errorf("the seller is not reached over %s: %v", transport, p.addrs[stall])
	}
	return p2p.ParsePeer(by...)
}

// Close ends the process.
func (p *shopProcess) Close() error { return p.child.close() }

// program is one that runs until it is closed.
type program struct{ cmd *exec.Cmd }

// Close kills the program.
func (p program) Close() error {
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it says that it was killed
	return err
}

// processor is what a running program has used of all processors, in seconds; 0 where the system
// does not say.
func (p program) processor() float64 { return processorOf(p.cmd.Process.Pid).Seconds() }

// used is what a program that has ended took of the processors, in seconds.
func used(cmd *exec.Cmd) float64 {
	if cmd.ProcessState == nil {
		return 0
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}
