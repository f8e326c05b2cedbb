package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestReadmeTable compares README's table of commands with those that there are.
func TestReadmeTable(t *testing.T) {
	var have []string
	var walk func(*cobra.Command, string)
	walk = func(cmd *cobra.Command, path string) {
		for _, c := range cmd.Commands() {
			walk(c, strings.TrimSpace(path+" "+c.Name()))
		}
		if !cmd.HasSubCommands() && !cmd.Hidden && cmd.Name() != "help" {
			have = append(have, path)
		}
	}
	walk(newRoot(), "")
	told := readmeTable(t)
	for _, path := range have {
		if !slices.Contains(told, path) {
			t.Errorf("README.md's table lacks %q", path)
		}
	}
	for _, path := range told {
		if !slices.Contains(have, path) {
			t.Errorf("README.md's table has %q, which is no command", path)
		}
	}
}

// readmeTable lists the commands of the table: `chain head\|block` are two.
func readmeTable(t *testing.T) []string {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "\n| commands |")
	if !ok {
		t.Fatal("README.md has no table of commands")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var out []string
	for row := range strings.Lines(table) {
		first, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		for _, span := range regexp.MustCompile("`[^`]+`").FindAllString(first, -1) {
			group, names := "", strings.Trim(span, "`")
			if at := strings.LastIndex(names, " "); at > 0 {
				group, names = names[:at+1], names[at+1:]
			}
			for name := range strings.SplitSeq(names, `\|`) {
				out = append(out, group+name)
			}
		}
	}
	return out
}
