package transport

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/grpc"
)

// NewSystem makes the internal actor system that Start wants: no metrics, no talk of dead letters (a message to an actor that
// has just stopped is ordinary here), and a logger that lets only warnings and errors through, without those of the remote
// about connections, which the transport reports itself. A nil logger discards.
//
// A system takes 3 ms and 3 MB, most of it 32,768 map shards. cmap.SHARD_COUNT (orcaman/concurrent-map) would cut that, but
// it is a global that existing maps read at every access: changing it breaks every map that an embedding application has.
func NewSystem(logger *slog.Logger) *actor.ActorSystem {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	quiet := slog.New(quietHandler{logger.Handler()})
	return actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }),
		actor.WithDeadLetterRequestLogging(false),
		actor.WithDeadLetterThrottleCount(0),
		actor.WithDeadLetterThrottleInterval(time.Second),
	)
}

type quietHandler struct{ slog.Handler }

func (h quietHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

func (h quietHandler) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "Endpoint") || strings.HasPrefix(r.Message, "failed to connect to remote") || tellsOfStop(r) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// tellsOfStop says whether the remote complains of having been stopped before it served: whoever stopped it knows.
func tellsOfStop(r slog.Record) (tells bool) {
	r.Attrs(func(a slog.Attr) bool {
		err, _ := a.Value.Any().(error)
		tells = errors.Is(err, grpc.ErrServerStopped)
		return !tells
	})
	return tells
}

func (h quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(attrs)}
}

func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.Handler.WithGroup(name)}
}
