package bench

import (
	"bufio"
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

// shopProcess is a process that runs RunShop.
type shopProcess struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	addrs [][]string
}

func startShop(command []string, cfg *ShopConfig) (*shopProcess, error) {
	p := &shopProcess{cmd: exec.Command(command[0], command[1:]...)}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the seller: %w", err)
	}
	var open ShopOpen
	if err = json.NewEncoder(p.in).Encode(cfg); err == nil {
		err = p.read(&open)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the seller: %w", err), p.Close())
	}
	p.addrs = open.Addrs
	return p, nil
}

func (p *shopProcess) read(answer any) error {
	if !p.out.Scan() {
		return errors.Join(errors.New("the seller's process is gone"), p.out.Err())
	}
	return json.Unmarshal(p.out.Bytes(), answer)
}

// processor is the processor time that the process has used.
func (p *shopProcess) processor() (time.Duration, error) {
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		return 0, err
	}
	var ns int64
	err := p.read(&ns)
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
func (p *shopProcess) Close() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }

// program is one that runs until it is closed.
type program struct{ cmd *exec.Cmd }

// Close kills the program.
func (p program) Close() error {
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it says that it was killed
	return err
}

// processor is the processor time that a running program has used so far, its threads together, in
// seconds; 0 where the system does not say.
func (p program) processor() float64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may have blanks in it
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if errors.Join(err1, err2) != nil {
		return 0
	}
	return (user + system) / clockTicks
}

// clockTicks is the grain of /proc: ticks a second, on every Linux.
const clockTicks = 100

// used is what a program that has ended took of the processors, in seconds.
func used(cmd *exec.Cmd) float64 {
	if cmd.ProcessState == nil {
		return 0
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}
