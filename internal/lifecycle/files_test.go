package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

type table struct {
	Size int `toml:"size"`
}

type config struct {
	Name  string `toml:"name"`
	Table table  `toml:"table"`
}

func TestConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "home", "config.toml")
	want := config{"a", table{7}}
	if err := WriteConfig(path, want); err != nil {
		t.Fatal(err)
	}
	got := config{Name: "default", Table: table{1}}
	if err := ReadConfig(path, &got); err != nil || got != want {
		t.Fatalf("read %+v, %v; want %+v", got, err, want)
	}
	if err := ParseConfig("[table]\nsize = 9", &got); err != nil || got.Name != "a" || got.Table.Size != 9 {
		t.Errorf("over what was there: %+v, %v", got, err)
	}
	for text, near := range map[string]string{"nmae = 1": "name", "[table]\nsise = 1": "table.size", "[tabel]\nsize = 1": "table"} {
		if err := ParseConfig(text, &got); err == nil || !strings.Contains(err.Error(), `"`+near+`"`) {
			t.Errorf("%q: %v, want an error that names %s", text, err, near)
		}
	}
	if err := ReadConfig(path+"x", &got); err == nil {
		t.Error("a missing file is read")
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("%d files lie there, %v; want the one written", len(left), err)
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"same", "same", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
	if near, n := Nearest("flie", []string{"dir", "file", "fill"}); near != "file" || n != 2 {
		t.Errorf("nearest is %q by %d", near, n)
	}
	if near, _ := Nearest("x", nil); near != "" {
		t.Errorf("nearest of nothing is %q", near)
	}
}

// TestInUse names a lock that another process holds, and no other error.
func TestInUse(t *testing.T) {
	if err := InUse(fmt.Errorf("lock: %w", syscall.EAGAIN)); !errors.Is(err, ErrInUse) {
		t.Errorf("a lock that is held: %v", err)
	}
	other := errors.New("another")
	if err := InUse(other); err != other {
		t.Errorf("another error becomes %v", err)
	}
}
