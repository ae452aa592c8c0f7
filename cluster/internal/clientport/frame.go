package clientport

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// frame is an encoded message of an Exchange. Connect hands it over as it is: to make structs of thousands of calls a millisecond, and of
// their answers, took more time than all else.
type frame []byte

// mostKept is the longest frame whose memory is used again.
const mostKept = 64 << 10

func (f frame) emptied() frame {
	if cap(f) > mostKept {
		return nil
	}
	return f[:0]
}

// frames is Connect's codec for frames.
type frames struct{}

func (frames) Name() string { return "proto" }

func (frames) Marshal(message any) ([]byte, error) { return frames{}.MarshalAppend(nil, message) }

func (frames) MarshalAppend(b []byte, message any) ([]byte, error) {
	return append(b, *message.(*frame)...), nil
}

func (frames) Unmarshal(b []byte, message any) error {
	f := message.(*frame)
	*f = append((*f)[:0], b...)
	return nil
}

// jsonFrames is the codec for clients who send JSON.
type jsonFrames struct{ strictJSON }

// mostObjects is how many objects a message may have: each takes much more memory than its two bytes.
const mostObjects = 32 << 10

func (c jsonFrames) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

func (c jsonFrames) MarshalAppend(b []byte, message any) ([]byte, error) {
	var r messages.ExchangeResponse
	if err := proto.Unmarshal(*message.(*frame), &r); err != nil {
		return nil, err
	}
	return c.strictJSON.MarshalAppend(b, &r)
}

func (c jsonFrames) Unmarshal(b []byte, message any) (err error) {
	if n := bytes.Count(b, []byte("{")); n > mostObjects {
		return fmt.Errorf("the message has %d objects: send fewer calls at a time", n)
	}
	var r messages.ExchangeRequest
	if err := c.strictJSON.Unmarshal(b, &r); err != nil {
		return err
	}
	*message.(*frame), err = proto.Marshal(&r)
	return err
}
