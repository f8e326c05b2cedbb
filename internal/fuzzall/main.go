// Command fuzzall runs every fuzz target of the module, one after the other,
// for the time given: go test -fuzz takes only one at once.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// target is one fuzz function and the folder of its package.
type target struct{ dir, name string }

func main() {
	each := flag.String("time", "10s", "how long each target runs")
	flag.Parse()
	targets, err := find(".")
	if err == nil && len(targets) == 0 {
		err = fmt.Errorf("no fuzz target found")
	}
	for i := 0; err == nil && i < len(targets); i++ {
		err = run(targets[i], *each)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%d fuzz targets ran for %s each\n", len(targets), *each)
}

var declaration = regexp.MustCompile(`^func (Fuzz\w+)\(`)

// find lists the fuzz functions below root, in order of their files.
func find(root string) ([]target, error) {
	var out []target
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if m := declaration.FindStringSubmatch(lines.Text()); m != nil {
				out = append(out, target{"./" + filepath.Dir(path), m[1]})
			}
		}
		return nil
	})
	return out, err
}

func run(t target, each string) error {
	fmt.Printf("%s %s\n", t.dir, t.name)
	cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", each, t.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", t.dir, t.name, err, out)
	}
	return nil
}
