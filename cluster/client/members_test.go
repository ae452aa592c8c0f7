package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/messages"
)

// A change of members that a server may have begun is never called undone, whether time is up or the caller gives up.
func TestAChangeWithoutAnAnswerIsUnknown(t *testing.T) {
	for _, why := range []error{context.Canceled, context.DeadlineExceeded} {
		ctx, cancel := context.WithCancel(context.Background())
		s := listen(t, &fake{change: func(asked context.Context, _ *messages.ChangeMemberRequest) (*messages.ChangeMemberResponse, error) {
			if why == context.Canceled {
				cancel()
			}
			<-asked.Done()
			return nil, asked.Err()
		}})
		if why == context.DeadlineExceeded {
			ctx = within(t, 200*time.Millisecond)
		}
		_, err := closed(t, client.New([]string{s.address})).ChangeMember(ctx, &messages.ChangeMemberRequest{Id: "n1"})
		cancel()
		if !errors.Is(err, client.ErrOutcomeUnknown) || errors.Is(err, client.ErrUnavailable) || !errors.Is(err, why) {
			t.Errorf("%v: %v", why, err)
		}
	}
}
