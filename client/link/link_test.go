package link

import (
	"errors"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
)

const (
	root = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
	key  = "AGE-SECRET-KEY-1QQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQ"
)

func must(t *testing.T, text string) cid.Cid {
	t.Helper()
	c, err := cid.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLink(t *testing.T) {
	for text, want := range map[string]Link{
		"perdure:" + root:                                 {Root: must(t, root)},
		"perdure:" + root + "?bid=17":                     {Root: must(t, root), Bid: 17},
		"perdure:" + root + "#name=a+b%26c.txt&kind=file": {Root: must(t, root), Name: "a b&c.txt", Kind: "file"},
		"perdure:" + root + "?bid=17#name=%C3%A9t%C3%A9&kind=directory&key=" + key: {
			Root: must(t, root), Bid: 17, Name: "été", Kind: "directory", Key: key},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if again := want.String(); again != text {
			t.Errorf("%+v is %s, want %s", want, again, text)
		}
	}
}

func TestRefusals(t *testing.T) {
	for name, text := range map[string]string{
		"empty":             "",
		"another scheme":    "ipfs:" + root,
		"no root":           "perdure:",
		"no CID":            "perdure:hello",
		"CIDv0":             "perdure:QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
		"unknown field":     "perdure:" + root + "?bad=17",
		"key for the world": "perdure:" + root + "?key=" + key,
		"bid 0":             "perdure:" + root + "?bid=0",
		"odd bid":           "perdure:" + root + "?bid=+7",
		"twice":             "perdure:" + root + "#name=a&name=b",
		"no value":          "perdure:" + root + "#name=",
		"bad escape":        "perdure:" + root + "#name=%zz",
		"path":              "perdure:" + root + "#name=..%2Fetc%2Fpasswd",
		"parent":            "perdure:" + root + "#name=..",
		"backslash":         "perdure:" + root + "#name=a%5Cb",
		"control":           "perdure:" + root + "#name=a%0Ab",
		"long name":         "perdure:" + root + "#name=" + strings.Repeat("a", 256),
		"long":              "perdure:" + root + "#name=" + strings.Repeat("%41", 2000),
		"kind":              "perdure:" + root + "#kind=socket",
		"no key":            "perdure:" + root + "#key=hunter2",
	} {
		l, err := Parse(text)
		if !errors.Is(err, ErrLink) || l != (Link{}) {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells the key: %v", name, err)
		}
	}
}

// FuzzParse: what is read has one form, and reads the same again.
func FuzzParse(f *testing.F) {
	f.Add("perdure:" + root + "?bid=17#name=a+b&kind=file&key=" + key)
	f.Add("perdure:" + root)
	f.Add("PERDURE:" + root + "#kind=directory&name=%C3%A9")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(l.String())
		if err != nil || again != l {
			t.Fatalf("%q is %+v; %q is %+v (%v)", text, l, l.String(), again, err)
		}
		if strings.ContainsAny(l.Name, "/\\\x00") {
			t.Fatalf("%q names the path %q", text, l.Name)
		}
	})
}
