package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
)

func versionCommand() *command {
	return &command{
		name:    "version",
		summary: "Print which troupe this is.",
		setup: func(*flag.FlagSet) func(context.Context, *terminal, []string) error {
			return func(_ context.Context, t *terminal, _ []string) error {
				_, err := fmt.Fprintf(t.out, "troupe %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return err
			}
		},
	}
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
