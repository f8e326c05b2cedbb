package main

import (
	"context"
	"io"
	"os"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"perdure": main}) }

// TestScripts runs the transcripts in testdata/script. Besides testscript's own commands they may
// use fill, flip and archive.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"fill":    fill,
			"flip":    flip,
			"archive": archive,
		},
	})
}

// fill writes a file of so many equal bytes: fill FILE BYTES VALUE.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: fill FILE BYTES VALUE")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	value, err := strconv.ParseUint(args[2], 0, 8)
	ts.Check(err)
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(value)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}

// flip turns the lowest bit of one byte over: flip FILE OFFSET; a negative offset counts from the end.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	if at < 0 {
		at += len(data)
	}
	data[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}

// TestExitCodes runs command lines for their exit codes, which scripts cannot tell apart.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		want int
		args []string
	}{
		{0, nil},
		{0, []string{"piece", "--help"}},
		{exitFailed, []string{"piece", "commp", "no such file"}},
		{exitUsage, []string{"piece", "commp"}},
		{exitUsage, []string{"pice"}},
		{exitUsage, []string{"piece", "comm"}},
		{exitUsage, []string{"--no-such-flag"}},
		{exitUsage, []string{"sector", "seal", "--size", "2KiB"}},
		{exitUsage, []string{"sector", "prove", "--kind", "x", "--dir", "d", "--seed", "00", "-o", "x"}},
	} {
		root := newRoot()
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		if got := execute(context.Background(), root, c.args); got != c.want {
			t.Errorf("perdure %q: exit code %d, want %d", c.args, got, c.want)
		}
	}
}

// TestGlobals checks that flags win over the environment and the environment over defaults.
func TestGlobals(t *testing.T) {
	t.Setenv("HOME", "/users/someone")
	for _, c := range []struct {
		env, flag, want string
	}{
		{"", "", "/users/someone/.perdure"},
		{"/from/env", "", "/from/env"},
		{"/from/env", "/from/flag", "/from/flag"},
		{"", "/from/flag", "/from/flag"},
	} {
		t.Setenv("PERDURE_HOME", c.env)
		g := &globals{}
		cmd := &cobra.Command{}
		cmd.Flags().StringVar(&g.Home, "home", "", "")
		if c.flag != "" {
			if err := cmd.Flags().Set("home", c.flag); err != nil {
				t.Fatal(err)
			}
		}
		if g.complete(cmd); g.Home != c.want {
			t.Errorf("environment %q, flag %q: %q, want %q", c.env, c.flag, g.Home, c.want)
		}
	}
}
