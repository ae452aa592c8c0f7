package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/troupe-raft/troupe/cluster/client"
)

// remote is the flags that all commands share which ask a running cluster.
type remote struct {
	endpoints string
	timeout   time.Duration
	secure    secure
}

func (r *remote) register(flags *flag.FlagSet) {
	r.registerWith(flags, "client addresses of one or more nodes, as `HOST:PORT,...`; else from TROUPE_ENDPOINTS")
}

func (r *remote) registerWith(flags *flag.FlagSet, endpoints string) {
	flags.StringVar(&r.endpoints, "endpoints", "", endpoints)
	r.timeout = 5 * time.Second
	flags.Var((*seconds)(&r.timeout), "timeout", "`time` to try for")
	r.secure.register(flags)
}

// list is the addresses from the flag, or else from TROUPE_ENDPOINTS.
func (r *remote) list(t *terminal) ([]string, error) {
	text, from := r.endpoints, "--endpoints"
	if text == "" {
		text, from = t.env("TROUPE_ENDPOINTS"), "TROUPE_ENDPOINTS"
	}
	list, err := parseEndpoints(text, from)
	if err == nil && len(list) == 0 {
		err = usagef("no endpoints are given: name client addresses with --endpoints HOST:PORT,... or in TROUPE_ENDPOINTS")
	}
	return list, err
}

func parseEndpoints(text, from string) ([]string, error) {
	var list []string
	for _, e := range strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' }) {
		e = strings.TrimSuffix(strings.TrimPrefix(e, "http://"), "/")
		host, port, err := net.SplitHostPort(e)
		if err != nil || host == "" {
			return nil, usagef("%q in %s is not an address: write HOST:PORT", e, from)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, usagef("%q in %s has the port %q: give a number from 1 to 65535", e, from, port)
		}
		list = append(list, e)
	}
	return list, nil
}

// connect returns a client, which the caller closes.
func (r *remote) connect(t *terminal) (*client.Client, error) {
	if r.timeout <= 0 {
		return nil, usagef("--timeout must be more than 0, such as 5s")
	}
	list, err := r.list(t)
	if err != nil {
		return nil, err
	}
	config, err := r.secure.config(t)
	if err != nil {
		return nil, err
	}
	return client.New(list, client.WithTLS(config)), nil
}

// use calls do with a client and a context that ends after the timeout.
func (r *remote) use(ctx context.Context, t *terminal, do func(context.Context, *client.Client) error) error {
	c, err := r.connect(t)
	if err != nil {
		return err
	}
	defer c.Close()
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	return do(limited, c)
}

// write is use for a command that writes. The exit code and the error tell what became of the write, also when the command is
// interrupted, or when nobody can read the answer that do returns.
func (r *remote) write(ctx context.Context, t *terminal, do func(context.Context, *client.Client) (answer string, err error)) error {
	answer := ""
	err := r.use(ctx, t, func(ctx context.Context, c *client.Client) (err error) {
		answer, err = do(ctx, c)
		return err
	})
	switch {
	case errors.Is(err, client.ErrUnavailable) && ctx.Err() != nil:
		return fmt.Errorf("%w; nothing was written", errInterrupted)
	case err != nil || answer == "":
		return err
	}
	signal.Ignore(syscall.SIGPIPE) // it would end the process
	if _, err := fmt.Fprintln(t.out, answer); err != nil {
		return &muteError{answer, err}
	}
	return nil
}

func versionAnswer(version uint64) string { return fmt.Sprintf("version %d", version) }

// checkKey refuses here what every server would.
func checkKey(key string) error {
	switch {
	case key == "":
		return usagef("the key is empty: give one of at least one character")
	case !utf8.ValidString(key):
		return usagef("the key %q is not UTF-8 text", key)
	}
	return nil
}

func notFound(key string) error { return fmt.Errorf("there is no key %q", key) }
