package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// command is one sub-command of troupe.
type command struct {
	name string
	// args names the arguments, for help and to count them, such as "KEY VALUE".
	args    string
	summary string // one line
	// text tells the rest, in lines of at most 100 characters.
	text string
	// setup defines the flags and returns the command's function, which gets as many arguments as args names.
	setup func(flags *flag.FlagSet) func(ctx context.Context, t *terminal, args []string) error
}

func (c *command) flagSet() (*flag.FlagSet, func(context.Context, *terminal, []string) error) {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are reported once, by exitOf
	flags.Usage = func() {}
	return flags, c.setup(flags)
}

func (c *command) execute(ctx context.Context, t *terminal, args []string) error {
	flags, do := c.flagSet()
	positional, err := parse(flags, args)
	if err == flag.ErrHelp {
		c.print(t.out)
		return err
	}
	if err != nil {
		return err
	}
	if !c.takes(len(positional)) && !takesAny(flags, len(positional)) {
		return usagef("it takes %s, but %s given", orNone(c.args), countGiven(len(positional)))
	}
	return do(ctx, t, positional)
}

// takes says whether the command takes so many arguments; those in brackets may be left out.
func (c *command) takes(count int) bool {
	all := strings.Fields(c.args)
	needed := 0
	for _, arg := range all {
		if !strings.HasPrefix(arg, "[") {
			needed++
		}
	}
	return needed <= count && count <= len(all)
}

func orNone(args string) string {
	if args == "" {
		return "no arguments"
	}
	return args
}

func countGiven(n int) string {
	switch n {
	case 0:
		return "no argument is"
	case 1:
		return "1 argument is"
	}
	return strconv.Itoa(n) + " arguments are"
}

// takesAny is for the one command whose arguments depend on a flag: cas --absent takes no OLD.
func takesAny(flags *flag.FlagSet, count int) bool {
	absent := flags.Lookup("absent")
	return absent != nil && absent.Value.String() == "true" && count == 2
}

// parse takes flags before, between and after the arguments; whatever follows "--" is an argument.
func parse(flags *flag.FlagSet, args []string) (positional []string, err error) {
	var literal []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, literal = args[:i], args[i+1:]
	}
	for {
		if err := flags.Parse(args); err != nil {
			if err == flag.ErrHelp {
				return nil, err
			}
			return nil, flagError(flags, err)
		}
		args = flags.Args()
		if len(args) == 0 {
			return append(positional, literal...), nil
		}
		positional, args = append(positional, args[0]), args[1:]
	}
}

var invalidValue = regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-+([^ :]+): (.*)$`)

// flagError turns the flag package's words into a sentence of ours.
func flagError(flags *flag.FlagSet, err error) error {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		return usagef("there is no flag --%s: write -- before arguments that begin with a dash", strings.TrimPrefix(name, "-"))
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		return usagef("the flag --%s needs a value", name)
	}
	if m := invalidValue.FindStringSubmatch(text); m != nil {
		return usagef("%s is no value for --%s: %s", m[1], m[2], strings.Replace(m[3], "parse error", unreadable(flags.Lookup(m[2])), 1))
	}
	return usagef("%s", text)
}

// unreadable is what there is to say of a value that the flag package cannot parse.
func unreadable(f *flag.Flag) string {
	if v, ok := f.Value.(flag.Getter); ok {
		if _, is := v.Get().(time.Duration); is {
			return "write a duration such as 5s"
		}
	}
	return "it cannot be read"
}

// print writes the command's help.
func (c *command) print(w io.Writer) {
	flags, _ := c.flagSet()
	usage := "troupe " + c.name
	if c.args != "" {
		usage += " " + c.args
	}
	any := false
	flags.VisitAll(func(*flag.Flag) { any = true })
	if any {
		usage += " [flags]"
	}
	fmt.Fprintf(w, "%s\n\nUsage:\n  %s\n", c.summary, usage)
	if c.text != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.text))
	}
	if !any {
		return
	}
	fmt.Fprint(w, "\nFlags:\n")
	flags.VisitAll(func(f *flag.Flag) {
		if f.Usage == hidden {
			return
		}
		value, usage := flag.UnquoteUsage(f)
		name := "--" + f.Name
		if value != "" {
			name += " " + strings.ToUpper(value)
		}
		if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "0s" && f.DefValue != "false" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(w, "  %-30s %s\n", name, usage)
	})
}

// hidden is the usage text of flags that help does not show: they are for programs that call troupe.
const hidden = "hidden"
