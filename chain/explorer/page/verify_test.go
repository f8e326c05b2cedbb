package page

import (
	"regexp"
	"strings"
	"testing"
)

// TestPolicyFor widens the policy by one origin, and by nothing else.
func TestPolicyFor(t *testing.T) {
	for api, want := range map[string]string{
		"":                              "",
		"https://other.example":         " https://other.example",
		"http://127.0.0.1:26660/":       " http://127.0.0.1:26660",
		"https://other.example/v1":      "",
		"https://*":                     "",
		"https://a.example https://b.c": "",
		"https://a.example; script-src": "",
		"https://a.example'":            "",
		"ftp://a.example":               "",
		"//a.example":                   "",
		"javascript:alert(1)":           "",
		"https://user@a.example":        "",
		"https://a.example\nx":          "",
	} {
		if have := policyFor(api); have != strings.Replace(policy, "connect-src 'self'", "connect-src 'self'"+want, 1) {
			t.Errorf("%q: %s", api, have)
		}
	}
}

// TestImports: each script names those that it imports as they are served.
func TestImports(t *testing.T) {
	f, err := loadFiles()
	if err != nil {
		t.Fatal(err)
	}
	from := regexp.MustCompile(`from "([^"]*)"`)
	found := 0
	for name, file := range f.byName {
		for _, m := range from.FindAllStringSubmatch(string(file.Body), -1) {
			found++
			if other, relative := strings.CutPrefix(m[1], "./"); !relative || f.byName[other] == nil {
				t.Errorf("%s imports %s, which is not served", name, m[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d imports were found", found)
	}
}
