package simulation

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every entry of the catalogue that can meet today's scope has one line in a list: which files and tests cover it, or that it cannot
// occur; and, behind a colon, why or how.
func TestTheListsOfCoveredEntriesAreRight(t *testing.T) {
	for name, entries := range map[string]int{"catalogue_elcr.txt": 41, "catalogue_pfnxgo.txt": 37} {
		list, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for line := range strings.Lines(string(list)) {
			id, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			if !regexp.MustCompile(`^[A-Z]-\d\d$`).MatchString(id) || seen[id] {
				t.Errorf("%s: not an id, or twice: %q", name, line)
			}
			seen[id] = true
			where, why, _ := strings.Cut(rest, ": ")
			if why == "" {
				t.Errorf("%s lacks an explanation", id)
			}
			if where != "cannot occur" {
				checkPlaces(t, id, where, rest)
			}
		}
		if len(seen) != entries {
			t.Errorf("%s has %d entries", name, len(seen))
		}
	}
}

// checkPlaces looks for the files and functions that a line names.
func checkPlaces(t *testing.T, id, where, line string) {
	here, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	read := func(file string) string {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
		all += string(content)
		return string(content)
	}
	for _, file := range here {
		read(file)
	}
	for _, place := range strings.Split(where, ", ") {
		if strings.HasPrefix(place, "Test") {
			continue
		}
		file, function, _ := strings.Cut(place, " ")
		content := read(filepath.Join("../..", file))
		if function != "" && !strings.Contains(content, "func "+function+"(") {
			t.Errorf("%s: there is no %s in %s", id, function, file)
		}
		if strings.HasSuffix(file, ".txt") && !strings.Contains(content, id) {
			t.Errorf("%s is not mentioned in %s", id, file)
		}
	}
	for _, name := range regexp.MustCompile(`\bTest\w+`).FindAllString(line, -1) {
		if !strings.Contains(all, "func "+name+"(") {
			t.Errorf("%s: there is no %s", id, name)
		}
	}
}
