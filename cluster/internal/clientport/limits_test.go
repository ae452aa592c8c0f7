package clientport

import (
	"strings"
	"testing"
	"time"
)

func TestLimits(t *testing.T) {
	var defaults Limits
	defaults.SetDefaults()
	if err := defaults.Validate(); err != nil || defaults.Requests != 4096 {
		t.Fatal(defaults, err)
	}
	for says, change := range map[string]func(*Limits){
		"-1 connections":                func(l *Limits) { l.Connections = -1 },
		"2097152 requests":              func(l *Limits) { l.Requests = 1 << 21 },
		"1000 bytes for requests":       func(l *Limits) { l.RequestBytes = 1000 },
		"-1 for answers":                func(l *Limits) { l.AnswerBytes = -1 },
		"-1s, 250ms and 1s of clients":  func(l *Limits) { l.Slow = -time.Second },
		"30s, -1s and 1s of clients":    func(l *Limits) { l.Still = -time.Second },
		"30s, 250ms and -1s of clients": func(l *Limits) { l.Patience = -time.Second },
	} {
		wrong := defaults
		change(&wrong)
		if err := wrong.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q", err, says)
		}
	}
}
