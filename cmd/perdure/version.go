package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// versionJSON is what perdure version says.
type versionJSON struct {
	Version  string `json:"version"`            // of the module; "(devel)" when built from a working tree
	Commit   string `json:"commit,omitempty"`   // of the source
	Modified bool   `json:"modified,omitempty"` // the source had changes beyond the commit
	Rules    uint64 `json:"ruleVersion"`        // of the rules that a new chain starts with
	Message  uint64 `json:"messageVersion"`
	API      string `json:"api"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// newVersionCommand returns the command that says what this program is.
func newVersionCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this program", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return answer(cmd, g, version()) },
	}
}

func version() versionJSON {
	v := versionJSON{
		Version: "(unknown)", Rules: consensus.RuleVersion, Message: chain.MessageVersion, API: "v1",
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
