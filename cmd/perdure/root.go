package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes, also in the help of the root command.
const (
	exitFailed = 1 // the command failed, or what it checked does not hold
	exitUsage  = 2 // the command line is wrong
)

// globals are the flags that every command has. Flags win over the environment.
type globals struct {
	Home           string // directory of configuration and data (PERDURE_HOME); empty if there is none
	Node           string // URL of a node's API (PERDURE_NODE)
	Light          bool   // believe no node: verify its answers
	Trust          string // HEIGHT:HASH of a header that the user trusts
	Witness        []string
	From           string // address that signs and pays
	JSON           bool   // one JSON object on standard output, nothing else there
	Yes            bool   // ask nothing
	PassphraseFile string // file with the keystore's passphrase
}

// passphraseEnv may hold the keystore's passphrase itself; --passphrase-file wins over it.
const passphraseEnv = "PERDURE_PASSPHRASE"

// newRoot returns the root command with all commands below it.
func newRoot() *cobra.Command {
	g := &globals{}
	root := newGroup("perdure", "Store files on proven space, and fetch them back paid chunk by chunk", `Perdure is a decentralised storage network. This one program is the chain node,
the miner, the client and the offline tools.

Exit codes: 0 success; 1 the command failed, or what it checked does not hold;
2 the command line is wrong. With --json exactly one object is written to
standard output; progress and errors go to standard error. A command fails whose
node says nothing for half a minute.`)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return g.complete(cmd) }
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveDefault)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(nearest(cmd, err)) })
	flags := root.PersistentFlags()
	flags.StringVar(&g.Home, "home", "", "directory of configuration and data (PERDURE_HOME; default ~/.perdure)")
	flags.StringVar(&g.Node, "node", "", "URL of a node's API (PERDURE_NODE)")
	flags.BoolVar(&g.Light, "light", false, "believe no node: verify its answers from a trusted header on")
	flags.StringVar(&g.Trust, "trust", "", "header of the chain that you trust, HEIGHT:HASH; --light remembers where it came to in --home")
	flags.StringSliceVar(&g.Witness, "witness", nil, "URLs of other nodes' APIs, whose headers --light compares")
	flags.StringVar(&g.From, "from", "", "address that signs and pays")
	flags.BoolVar(&g.JSON, "json", false, "write one JSON object to standard output")
	flags.BoolVar(&g.Yes, "yes", false, "ask nothing")
	flags.StringVar(&g.PassphraseFile, "passphrase-file", "", "file with the keystore's passphrase (or the passphrase itself in "+passphraseEnv+")")
	for _, command := range []func(*globals) *cobra.Command{
		newPieceCommand,
		newSectorCommand,
		newBenchCommand,
		newPutCommand,
		newGetCommand,
		newLsCommand,
		newRenewCommand,
		newRmCommand,
		newShareCommand,
		newKeyCommand,
		newClientCommand,
		newFundsCommand,
		newChannelCommand,
		newGatewayCommand,
		newWalletCommand,
		newMarketCommand,
		newMinerCommand,
		newReceiptsCommand,
		newNetCommand,
		newChainCommand,
		newStateCommand,
		newGovernCommand,
		newStatusCommand,
		newNodeCommand,
		newAuthCommand,
		newIndexCommand,
		newDemoCommand,
		newDevnetCommand,
		newVersionCommand,
	} {
		root.AddCommand(command(g))
	}
	return root
}

// newGroup returns a command that only holds others: alone it prints its help, and an unknown
// command below it is refused with the nearest names.
func newGroup(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long,
		SuggestionsMinimumDistance: 2,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				text += "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return usage(errors.New(text))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// complete fills flags that were not given from the environment, then from defaults.
func (g *globals) complete(cmd *cobra.Command) error {
	for _, f := range []struct {
		value     *string
		name, env string
	}{{&g.Home, "home", "PERDURE_HOME"}, {&g.Node, "node", "PERDURE_NODE"}} {
		if v, ok := os.LookupEnv(f.env); ok && !cmd.Flags().Changed(f.name) {
			*f.value = v
		}
	}
	if at, err := url.Parse(g.Node); g.Node != "" && (err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "") {
		return usage(fmt.Errorf("node %q: want a URL like %s", g.Node, defaultNode))
	}
	if g.Home != "" {
		return nil
	}
	// Offline commands also work for a user without a home directory.
	if user, err := os.UserHomeDir(); err == nil {
		g.Home = filepath.Join(user, ".perdure")
	}
	return nil
}

// exitError is an error with the exit code that it asks for. Without text it was reported already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage marks an error of the command line.
func usage(err error) error { return &exitError{exitUsage, err} }

// refused ends a command whose answer, already given, is no.
func refused() error { return &exitError{code: exitFailed} }

// execute runs a command line and returns the exit code.
func execute(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		exit = &exitError{exitFailed, err}
		if counted(err) {
			exit = &exitError{exitUsage, fmt.Errorf("%w; usage: %s", err, cmd.UseLine())}
		} else if untyped(err) {
			exit.code = exitUsage
		}
		err = exit
	}
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) {
		err = errors.New("interrupted")
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(root.ErrOrStderr(), "perdure: "+text)
	}
	return exit.code
}

// counted reports whether cobra found the number of arguments wrong: these errors
// have no type.
func counted(err error) bool {
	return strings.HasPrefix(err.Error(), "accepts ") || strings.HasPrefix(err.Error(), "requires ")
}

// untyped reports whether an error is another that cobra itself finds in a command line.
func untyped(err error) bool {
	return slices.ContainsFunc([]string{"unknown command", "required flag", "if any flags in the group", "at least one of the flags"},
		func(start string) bool { return strings.HasPrefix(err.Error(), start) })
}

// nearest adds the nearest flag's name to the error about an unknown one.
func nearest(cmd *cobra.Command, err error) error {
	_, name, ok := strings.Cut(err.Error(), "unknown flag: --")
	if !ok {
		return err
	}
	var flags []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			flags = append(flags, f.Name)
		}
	})
	best, changes := lifecycle.Nearest(name, flags)
	for _, f := range flags {
		if strings.HasPrefix(f, name) {
			best, changes = f, 1
		}
	}
	if changes > len(name)/2 {
		best = ""
	}
	if best == "" {
		return fmt.Errorf("%w; see perdure %s --help", err, strings.TrimPrefix(cmd.CommandPath(), "perdure "))
	}
	return fmt.Errorf("%w; did you mean --%s?", err, best)
}

// writeJSON writes the one object of a command's answer.
func writeJSON(cmd *cobra.Command, v any) error {
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), string(out)); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}
