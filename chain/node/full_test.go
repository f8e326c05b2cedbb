package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/perdure/perdure/chain"
)

// smallDisk mounts a file system of a size at a directory, or skips the test.
func smallDisk(t *testing.T, dir, megabytes string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a small disk can be mounted by root only")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+megabytes+"m"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}

// fill leaves no byte of a disk free.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// fullEnv tells the child process of TestFullDisk its home and disk.
const fullEnv = "PERDURE_TEST_FULL"

// TestFullDisk runs a node, in a process of its own, until a disk is full: its
// only one, or the one that it keeps the state on. It stops with an error that
// names a file there, and goes on where it was once there is space.
func TestFullDisk(t *testing.T) {
	if where := os.Getenv(fullEnv); where != "" {
		home, disk, _ := strings.Cut(where, ":")
		c := localConfig()
		fmt.Println(untilFull(t, home, &c, disk))
		os.Exit(0) // a database that stopped cannot be closed
	}
	t.Run("home", func(t *testing.T) {
		disk := t.TempDir()
		smallDisk(t, disk, "160")
		home, c := newHomeIn(t, filepath.Join(disk, "home"))
		outlast(t, home, c, disk)
	})
	t.Run("state", func(t *testing.T) {
		home, c := newHome(t)
		smallDisk(t, stateDir(home), "40")
		outlast(t, home, c, stateDir(home))
	})
}

// untilFull runs a node until the disk that this fills has stopped it.
func untilFull(t *testing.T, home string, c *Config, disk string) error {
	n, err := New(Options{Home: home, Config: c})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.Run(t.Context()) }()
	await(t, n, done, 3)
	fill(t, filepath.Join(disk, "filler"))
	return <-done
}

// outlast lets a child process fill a disk and runs the node again with the
// space back.
func outlast(t *testing.T, home string, c *Config, disk string) {
	child := exec.Command(os.Args[0], "-test.run", "^TestFullDisk$")
	child.Env = append(os.Environ(), fullEnv+"="+home+":"+disk)
	said, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	t.Logf("%s", said)
	if !bytes.Contains(said, []byte("no space left on device")) || !bytes.Contains(said, []byte(disk)) {
		t.Errorf("on a full disk the node stops with %s", said)
	}
	if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
		t.Fatal(err)
	}
	n, err := New(Options{Home: home, Config: c})
	if err != nil {
		t.Fatal(err)
	}
	h := n.Store().View().Height()
	if h < 3 {
		t.Errorf("the node is at height %d, was at 3 at least", h)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	await(t, n, done, h+3)
	cancel()
	if err := errors.Join(<-done, n.Close()); err != nil {
		t.Error(err)
	}
}

// await returns when a running node has committed a height.
func await(t *testing.T, n *Node, done <-chan error, h chain.Height) {
	t.Helper()
	for {
		changed := n.Store().Changed()
		if v := n.Store().View(); v != nil && v.Height() >= h {
			return
		}
		select {
		case <-changed:
		case err := <-done:
			t.Fatal(err)
		}
	}
}
