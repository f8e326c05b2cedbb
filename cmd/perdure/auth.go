package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain/explorer/access"
	"github.com/perdure/perdure/client"
)

// newAuthCommand returns the group of commands about tokens of a node's API.
func newAuthCommand(g *globals) *cobra.Command {
	return newGroup("auth", "Make and revoke tokens of a node's API", `Make and revoke tokens of the API of the node whose home is --home. A node that runs
knows at once. Whoever asks shows a token in a header: Authorization: Bearer TOKEN.

What is public needs no token. A token allows one of these, and what stands before it:
  read     what is public, at ten times the rate, wherever it is shown
  export   answers without bound
  admin    to rebuild and to check the index

The node's own machine has a token already: admin.token in its home.`,
		newAuthCreate(g), newAuthList(g), newAuthRevoke(g))
}

// newAuthCreate returns the command that makes a token.
func newAuthCreate(g *globals) *cobra.Command {
	var scope, life string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token, and show it this once",
		Long: `Make a token and show it. The node keeps only its SHA-256: who loses it makes another. NAME
says whose it is.`,
		Example: `  perdure auth create analyst --scope export --expires 30d`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := access.ParseScope(scope)
			if err != nil {
				return usage(fmt.Errorf("--scope: %w", err))
			}
			d := client.Duration{}
			if life != "" {
				if d, err = client.ParseDuration(life); err != nil || d.Time == 0 {
					return usage(fmt.Errorf("--expires %q: want a time like 12h or 30d", life))
				}
			}
			if args[0] == "" || len(args[0]) > 64 {
				return usage(errors.New("NAME: want 1 to 64 bytes"))
			}
			secret, t, err := access.Create(g.Home, args[0], s, d.Time, time.Now())
			if err != nil {
				return err
			}
			return answer(cmd, g, struct {
				Token string `json:"token"`
				shownToken
			}{secret, shownToken(*t)})
		},
	}
	cmd.Flags().StringVar(&scope, "scope", string(access.Read), "what it allows: read, export or admin")
	cmd.Flags().StringVar(&life, "expires", "", "how long it is good for, such as 12h or 30d (default: until it is revoked)")
	return cmd
}

// shownToken is a token without its hash.
type shownToken struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Scope   access.Scope `json:"scope"`
	Created time.Time    `json:"created"`
	Expires time.Time    `json:"expires,omitzero"`
	Hash    string       `json:"-"`
}

// newAuthList returns the command that lists tokens.
func newAuthList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tokens, the oldest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := access.List(g.Home)
			if err != nil {
				return err
			}
			out := struct {
				Items []shownToken `json:"items"`
			}{[]shownToken{}}
			for _, t := range all {
				out.Items = append(out.Items, shownToken(t))
			}
			return answer(cmd, g, out)
		},
	}
}

// newAuthRevoke returns the command that makes a token good for nothing.
func newAuthRevoke(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Make a token good for nothing", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := access.Revoke(g.Home, args[0]); err != nil {
				return err
			}
			return answer(cmd, g, struct {
				Revoked string `json:"revoked"`
			}{args[0]})
		},
	}
}
