package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/post"
	"github.com/perdure/perdure/post/exhibit"
	"github.com/perdure/perdure/post/prove"
)

// proveOptions are the flags of sector prove.
type proveOptions struct {
	kind       string
	dir        string
	seed       bytes32
	challenges int
	out        string
}

// newSectorProve returns the command that proves a sector into a file.
func newSectorProve(*globals) *cobra.Command {
	var o proveOptions
	cmd := &cobra.Command{
		Use:   "prove [--kind seal|window] --dir DIR --seed HEX -o PROOF",
		Short: "Prove that a sector was sealed, or that it is held",
		Long: `Write a proof with its statement to a file that sector verify checks. The kind seal
proves that the sector was sealed and answers challenges drawn from --seed; the kind
window proves that its replica is held, with --seed as the randomness of the window.`,
		Example: `  perdure sector prove --dir s1 --seed $(openssl rand -hex 32) -o s1.proof
  perdure sector prove --kind window --dir s1 --seed $(openssl rand -hex 32) -o s1.held`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSectorProve(cmd, o) },
	}
	cmd.Flags().StringVar(&o.kind, "kind", string(exhibit.Seal), "what to prove: seal or window")
	cmd.Flags().StringVar(&o.dir, "dir", "", "directory of the sector")
	hexFlag(cmd, &o.seed, "seed", "randomness of the challenges, 32 bytes")
	cmd.Flags().IntVar(&o.challenges, "challenges", 0, fmt.Sprintf("challenges to answer (default %d for seal, %d for window)",
		porep.MaxPartChallenges, post.DefaultChallenges))
	cmd.Flags().StringVarP(&o.out, "output", "o", "", "file to write, - for standard output")
	require(cmd, "dir", "seed", "output")
	return cmd
}

func runSectorProve(cmd *cobra.Command, o proveOptions) error {
	kind := exhibit.Kind(o.kind)
	defaults := map[exhibit.Kind]int{exhibit.Seal: porep.MaxPartChallenges, exhibit.Window: post.DefaultChallenges}
	challenges, ok := defaults[kind]
	if !ok {
		return usage(fmt.Errorf("--kind %s: want seal or window", o.kind))
	}
	if cmd.Flags().Changed("challenges") {
		challenges = o.challenges
	}
	if most := map[exhibit.Kind]int{exhibit.Seal: exhibit.MaxSealChallenges, exhibit.Window: post.MaxChallenges}[kind]; challenges < 1 || challenges > most {
		return usage(fmt.Errorf("--challenges %d: want 1 to %d", challenges, most))
	}
	proof, err := prove.Exhibit(cmd.Context(), o.dir, kind, o.seed, challenges)
	if err != nil {
		return err
	}
	if err := proof.Verify(); err != nil {
		return fmt.Errorf("%s: the sector does not prove: %w", o.dir, err)
	}
	data, err := proof.Encode()
	if err != nil {
		return err
	}
	return writeOutput(cmd, o.out, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
