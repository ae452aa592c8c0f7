package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-raft/troupe/actors"
)

func TestHelp(t *testing.T) {
	overview := here(t, nil, "help")
	if overview.code != exitDone || overview.err != "" {
		t.Fatalf("help: %v", overview)
	}
	for _, c := range commands() {
		if !strings.Contains(overview.out, "\n  "+c.name) {
			t.Errorf("the overview does not list %s", c.name)
		}
		name := strings.Fields(c.name)
		for _, args := range [][]string{
			slices.Concat([]string{"help"}, name), slices.Concat(name, []string{"--help"}), slices.Concat(name, []string{"-h"}),
		} {
			o := here(t, nil, args...)
			if o.code != exitDone || !strings.HasPrefix(o.out, c.summary) || !strings.Contains(o.out, "Usage:\n  troupe "+c.name) {
				t.Errorf("%q: %v", args, o)
			}
			for line := range strings.Lines(o.out) {
				if !strings.HasPrefix(line, "  --") && len(line) > 132 {
					t.Errorf("%q has a line of %d characters: %s", args, len(line), line)
				}
			}
			if strings.Contains(o.out, hidden) {
				t.Errorf("%q shows a hidden flag", args)
			}
		}
	}
	for _, args := range [][]string{{"--help"}, {"-h"}, {"help", "help"}} {
		if o := here(t, nil, args...); o.code != exitDone || o.out != overview.out {
			t.Errorf("%q: %v", args, o)
		}
	}
}

// A placeholder is a word for what the flag takes.
func TestPlaceholders(t *testing.T) {
	words := strings.Fields(`BYTES DIRECTORY FATE FILE HOST:PORT HOST:PORT,... ID=PEER_ADDR LEVEL LIST NAME NUMBER OPERATION PERCENT
		SEED SIZE SPACING TIME`)
	for _, c := range commands() {
		flags, _ := c.flagSet()
		flags.VisitAll(func(f *flag.Flag) {
			value, _ := flag.UnquoteUsage(f)
			if value = strings.ToUpper(value); value != "" && f.Usage != hidden && !slices.Contains(words, value) {
				t.Errorf("%s --%s %s: say what the flag takes, in one of the words that the others use, or add a new word here",
					c.name, f.Name, value)
			}
		})
	}
}

// What help says of a member's role is what client.proto says, and what there is.
func TestRolesInHelp(t *testing.T) {
	proto, err := os.ReadFile("../../messages/client.proto")
	if err != nil {
		t.Fatal(err)
	}
	roles := fmt.Sprintf("%v, %v or %v", actors.Leader, actors.Follower, actors.Candidate)
	for what, text := range map[string]string{"client.proto": string(proto), "troupe help status": here(t, nil, "help", "status").out} {
		_, sentence, said := strings.Cut(text, roles)
		if sentence, _, _ = strings.Cut(sentence, "."); !said || strings.Contains(sentence, "learner") {
			t.Errorf("%s does not say that a role is %s", what, roles)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "--version", "-v"} {
		if o := here(t, nil, arg); o.code != exitDone || !strings.HasPrefix(o.out, "troupe ") {
			t.Errorf("%s: %v", arg, o)
		}
	}
}

// Wrong usage is exit code 2, nothing on standard output, and one sentence on standard error that says what is wrong.
func TestWrongUsage(t *testing.T) {
	somewhere := map[string]string{"TROUPE_ENDPOINTS": "127.0.0.1:1"}
	for line, want := range map[string]string{
		"frob":               `no command "frob"`,
		"snapshot":           `"snapshot" is followed by save or inspect or restore`,
		"help snapshot sve":  `"snapshot" is followed by save or inspect or restore`,
		"log tail":           `"log" is followed by dump`,
		"snapshot save":      "it takes FILE, but no argument is given",
		"snapshot inspect":   "it takes FILE, but no argument is given",
		"snapshot restore f": "--id is missing",
		"snapshot restore f --id n1 --data-dir d --initial-cluster n2=a:1": "does not name node n1",
		"snapshot restore f --id n1 --data-dir d --initial-cluster n1":     "the member \"n1\" has no =",
		"log dump":                   "--data-dir is missing",
		"check":                      "--data-dir is missing",
		"help frob":                  `no command "frob"`,
		"put":                        "it takes KEY VALUE, but no argument is given",
		"put k":                      "but 1 argument is given",
		"put k v w":                  "but 3 arguments are given",
		"get":                        "it takes KEY",
		"version x":                  "it takes no arguments",
		"put k -v":                   "no flag --v: write --",
		"put k v --frob":             "no flag --frob",
		"put k v --timeout":          "--timeout needs a value",
		"put k v --timeout soon":     `"soon" is no value for --timeout: write a duration such as 10s`,
		"put k v --timeout 0s":       "--timeout must be more than 0",
		"get k --endpoints nonsense": `"nonsense" in --endpoints is not an address`,
		"get k --endpoints :80":      "is not an address",
		"get k --cert c":             "give both --cert and --key",
		"get k --key k":              "give both --cert and --key",
		"get k --cert c --key k":     "give --cacert, too",
		"bench --cacert a":           "--cacert, --cert and --key are for --endpoints",
		"cas k old":                  "it takes KEY OLD NEW",
		"cas k a b --absent":         "with --absent it takes KEY NEW",
		"status --json=maybe":        `"maybe" is no value for --json`,
		"serve":                      "--id is missing",
		"serve --id n1 --data-dir d --peer-addr a:1": "--client-addr is missing",
		"serve --log-level loud":                     `"loud" is no value for --log-level`,
		"demo --for NaN":                             `"NaN" is no value for --for: write a duration such as 10s`,
		"demo --for 1s":                              "--for must be at least 3s",
		"simulate --groups -1":                       "--groups must be from 1 to 100",
		"simulate --groups 99999":                    "--groups must be from 1 to 100",
		"simulate --clients 0":                       "--clients must be from 1 to 1000",
		"simulate --clients 1001":                    "--clients must be from 1 to 1000",
		"simulate --workers 1025":                    "--workers must be from 1 to 1024",
		"simulate --seeds 0":                         "--seeds and --steps must be at least 1",
		"simulate --faults loss=7":                   `--faults: the rate of loss must be a number from 0 to 1, not "7"`,
		"simulate --faults kill,corrupt=1.1":         "the rate of corrupt must be a number from 0 to 1",
		"simulate --faults loss=NaN":                 "the rate of loss must be a number from 0 to 1",
		"simulate --faults loss=0.1x":                "the rate of loss must be a number from 0 to 1",
		"simulate --faults loss=":                    "the rate of loss must be a number from 0 to 1",
		"simulate --faults kill=NaN":                 "the rate of kill must be a number from 0 to 1000",
		"simulate --faults kill=Inf":                 "the rate of kill must be a number from 0 to 1000",
		"simulate --faults kill=-1":                  "the rate of kill must be a number from 0 to 1000",
		"demo --writers 0":                           "--writers takes 1 to",

		"log dump --data-dir x --from 9 --to 3": "--from 9 is behind --to 3",
	} {
		o := here(t, somewhere, strings.Fields(line)...)
		if o.code != exitUsage || o.out != "" || !strings.Contains(o.err, want) || strings.Count(o.err, "\n") != 1 {
			t.Errorf("%s: want %q\n%v", line, want, o)
		}
	}
	if o := here(t, somewhere, "put", "", "v"); o.code != exitUsage || !strings.Contains(o.err, "the key is empty") {
		t.Errorf("empty key: %v", o)
	}
	if o := here(t, nil); o.code != exitUsage || o.out != "" || !strings.Contains(o.err, "Commands:") {
		t.Errorf("no command: %v", o)
	}
}

func TestNoEndpoints(t *testing.T) {
	for _, line := range []string{"put k v", "get k", "delete k", "cas k a b", "status", "snapshot save f"} {
		o := here(t, nil, strings.Fields(line)...)
		if o.code != exitUsage || !strings.Contains(o.err, "no endpoints are given") || !strings.Contains(o.err, "TROUPE_ENDPOINTS") {
			t.Errorf("%s: %v", line, o)
		}
	}
}

func TestUnreachableEndpoints(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"put k v", "get k", "delete k", "cas k a b", "status"} {
		args := append(strings.Fields(line), "--timeout", "300ms", "--endpoints", "127.0.0.1:1,127.0.0.1:2")
		o := here(t, nil, args...)
		if o.code != exitFailed || o.out != "" || !strings.Contains(o.err, "nobody listens there") ||
			!strings.Contains(o.err, "check the endpoints") {
			t.Errorf("%s: %v", line, o)
		}
	}
}

func TestFlagsStandAnywhere(t *testing.T) {
	for _, line := range []string{
		"get --timeout 50ms k --endpoints 127.0.0.1:1", "get --endpoints=127.0.0.1:1 --timeout=50ms k",
		"get k -timeout 50ms -endpoints 127.0.0.1:1",
		"get --timeout 50ms --endpoints http://127.0.0.1:1/ -- --k", "put --timeout 50ms --endpoints 127.0.0.1:1 -- k --v",
	} {
		if o := here(t, nil, strings.Fields(line)...); o.code != exitFailed || !strings.Contains(o.err, "nobody listens there") {
			t.Errorf("%s: %v", line, o)
		}
	}
}
