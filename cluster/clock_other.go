//go:build !linux

package cluster

import "time"

func sinceBoot() time.Duration { return sinceStart() }
