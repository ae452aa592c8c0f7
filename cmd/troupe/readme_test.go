//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// readme is the text of sections, with free ports in place of those that are printed.
func readme(t *testing.T, titles ...string) (text string) {
	t.Helper()
	all, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, title := range titles {
		_, section, found := strings.Cut(string(all), "\n## "+title+"\n")
		if !found {
			t.Fatalf("README has no section %q", title)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		text += section
	}
	ports := map[string]string{}
	return regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllStringFunc(text, func(printed string) string {
		if ports[printed] == "" {
			ports[printed] = freeAddresses(t, 1)[0]
		}
		return ports[printed]
	})
}

// lines are the indented ones of a section: what a reader types.
func lines(section string) (typed string) {
	for line := range strings.Lines(section) {
		if command, is := strings.CutPrefix(line, "    "); is {
			typed += command
		}
	}
	return typed
}

// What README tells a newcomer to type gives what it says.
func TestReadmeCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("the processes are the same without -short")
	}
	t.Parallel()
	typed := lines(readme(t, "A cluster of processes", "Exactly once"))
	build := "go build -o troupe ./cmd/troupe\n"
	if !strings.HasPrefix(typed, build) {
		t.Fatalf("README does not begin with %q:\n%s", build, typed)
	}
	dir := t.TempDir()
	if err := os.Symlink(builtBinary(t), filepath.Join(dir, "troupe")); err != nil { // the build would write into the tree
		t.Fatal(err)
	}
	typed, byCurl, found := strings.Cut(strings.TrimPrefix(typed, build), "for node in ")
	if !found {
		t.Fatalf("README asks no node by curl:\n%s", typed)
	}
	want := `(?s)^version 1\nbluen\d leads\..*`
	if _, err := exec.LookPath("curl"); err == nil {
		typed += "\necho\nfor node in " + byCurl
		for _, version := range []string{"2", "3", "4", "5", "5"} { // the last write is sent twice
			want += `\n\{"version": ?"` + version + `", ?"index": ?"\d+"\}`
		}
	}
	if out := inShell(t, dir, typed); !regexp.MustCompile(want).MatchString(out) {
		t.Errorf("what was typed:\n%s\nwhat came:\n%s", typed, out)
	}
}

// A node comes and goes, as README says.
func TestReadmeMembers(t *testing.T) {
	skipShort(t)
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink(builtBinary(t), filepath.Join(dir, "troupe")); err != nil {
		t.Fatal(err)
	}
	typed := strings.TrimPrefix(lines(readme(t, "A cluster of processes", "Members and leaders")), "go build -o troupe ./cmd/troupe\n")
	typed, byCurl, _ := strings.Cut(typed, "for node in ")
	_, members, _ := strings.Cut(byCurl, "\ndone\n")
	const list = "./troupe member list\n"
	joins, leaves, found := strings.Cut(members, list)
	if !found {
		t.Fatalf("README does not list the members:\n%s", members)
	}
	typed += joins + "until ./troupe member list | grep -q 'n4 .*yes .*ok$'; do sleep 0.1; done\n" + list + leaves
	want := regexp.MustCompile(`(?s)\nNODE  VOTES .*\nn4    yes .*\ndone: the members are those of entry \d+\nn\d leads\n$`)
	if out := inShell(t, dir, typed); !want.MatchString(out) {
		t.Errorf("what was typed:\n%s\nwhat came:\n%s", typed, out)
	}
}

// The certificates that README makes suit a node and its client.
func TestReadmeTLS(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil || testing.Short() {
		t.Skip("there is no openssl, or the processes are the same without -short")
	}
	dir := t.TempDir()
	if err := os.Symlink(builtBinary(t), filepath.Join(dir, "troupe")); err != nil {
		t.Fatal(err)
	}
	typed := lines(readme(t, "TLS for clients"))
	if out := inShell(t, dir, typed+"\necho\nunset TROUPE_CERT TROUPE_KEY; ./troupe get color 2>&1 || echo $?"); !strings.HasPrefix(out,
		"version 1\nblue\n") || !strings.Contains(out, "serves only clients with a certificate") || !strings.HasSuffix(out, "\n1\n") {
		t.Errorf("what was typed:\n%s\nwhat came:\n%s", typed, out)
	}
}

// inShell runs a script until its last command has ended, ends the processes that it started, and returns what was printed.
func inShell(t *testing.T, dir, script string) string {
	t.Helper()
	path := filepath.Join(dir, "printed") // no pipe: the nodes hold it open longer than the shell runs
	printed, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer printed.Close()
	shell := exec.Command("sh", "-c", script)
	shell.Dir, shell.Stdout = dir, printed
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }()
	timer := time.AfterFunc(time.Minute, func() { _ = shell.Process.Kill() })
	defer timer.Stop()
	if err := shell.Wait(); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`node n\d listens: .*\n`).ReplaceAllString(string(text), "")
}

// The program in README compiles as it stands, and three of it count.
func TestReadmeProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("the processes are the same without -short")
	}
	t.Parallel()
	section := readme(t, "Embed it")
	_, program, _ := strings.Cut(section, "```go\n")
	program, _, _ = strings.Cut(program, "```\n")
	members := regexp.MustCompile(`(n\d)=(127[.\d:]+)`).FindAllStringSubmatch(program, -1)
	if len(members) != 3 {
		t.Fatalf("the program has %d members:\n%s", len(members), program)
	}
	binary := buildProgram(t, program)
	var printed [3]noted
	for i, m := range members {
		cmd := exec.Command(binary, m[1], m[2])
		cmd.Dir, cmd.Stdout, cmd.SysProcAttr = t.TempDir(), &printed[i], endWithParent()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}()
	}
	visits := regexp.MustCompile(`proposed: (\d+) visits\nread by mail: (\d+) visits\n`)
	eventually(t, 30*time.Second, "all count together", func() bool {
		counted := map[string]bool{}
		for i := range printed {
			all := visits.FindAllStringSubmatch(printed[i].String(), -1)
			if len(all) < 2 {
				return false
			}
			for _, v := range all {
				if counted[v[1]] {
					t.Fatalf("the number %s came twice", v[1])
				}
				counted[v[1]] = true
			}
		}
		return true
	})
}

// buildProgram builds a main package as if it stood in the repository, into which nothing is written.
func buildProgram(t *testing.T, source string) (binary string) {
	t.Helper()
	dir := t.TempDir()
	file, overlay, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "program")
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "examples", "readme", "main.go"): file}})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{file: source, overlay: string(replace)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-overlay", overlay, "-o", binary, "./examples/readme")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("README's program does not compile: %v\n%s", err, out)
	}
	return binary
}

// Every command line of troupe in the documents is one that troupe understands, and what must be said is said.
func TestDocumentsNameWhatThereIs(t *testing.T) {
	commandLine := regexp.MustCompile(`(?:\./troupe|go run \./cmd/troupe|` + "`" + `troupe) ([a-z]+[^` + "`" + `\n]*)`)
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "PERFORMANCE.md", "examples/README.md", "cluster/simulation/FINDS.md"} {
		text, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range commandLine.FindAllStringSubmatch(string(text), -1) {
			words := strings.Fields(strings.TrimSuffix(line[1], "&"))
			c, words := find(words)
			if c == nil {
				if !strings.HasPrefix(line[1], "help") {
					t.Errorf("%s: there is no command %q", name, line[1])
				}
				continue
			}
			flags, _ := c.flagSet()
			if _, err := parse(flags, words); err != nil {
				t.Errorf("%s: troupe %s: %v", name, line[1], err)
			}
		}
	}
	processes := readme(t, "A cluster of processes")
	for what, text := range map[string]string{"README": processes, "help serve": here(t, nil, "help", "serve").out} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), "Never put back an older copy of one node's data directory") {
			t.Errorf("%s does not warn of older copies", what)
		}
	}
	for code, words := range map[int]string{
		exitFailed: "failed", exitUsage: "wrong usage", exitUnknown: "the outcome of a write is unknown", exitMute: "a write is done",
	} {
		said := fmt.Sprintf("%d %s", code, words)
		if !strings.Contains(processes, said) || !strings.Contains(here(t, nil, "help").out, said) {
			t.Errorf("README and help do not both say %q", said)
		}
	}
}
