package main

import (
	"log/slog"

	"github.com/spf13/cobra"
)

// logger writes what a long-running command does to standard error.
func logger(cmd *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
}
