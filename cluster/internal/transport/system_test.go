package transport

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc"
)

// A system's logger lets through what the transport does not say itself.
func TestQuietSystem(t *testing.T) {
	var out bytes.Buffer
	logger := NewSystem(slog.New(slog.NewTextHandler(&out, nil))).Logger()
	logger.Info("Starting Proto.Actor server")
	logger.Warn("EndpointWriter failed to connect")
	logger.Error("gRPC server stopped", slog.Any("error", grpc.ErrServerStopped))
	if out.Len() > 0 {
		t.Errorf("this should be quiet: %s", &out)
	}
	logger.Error("gRPC server stopped", slog.Any("error", errors.New("the listener broke")))
	if !strings.Contains(out.String(), "the listener broke") {
		t.Errorf("this should be said; the log is %q", &out)
	}
}
