package transport

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"github.com/troupe-raft/troupe/messages"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// rawCodec sends bytes as they are and keeps what it receives.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// An attacker is a raw gRPC stream to the peer port.
type attacker struct {
	conn   *grpc.ClientConn
	stream grpc.ClientStream
}

func attack(t testing.TB, address string) *attacker {
	t.Helper()
	return attackWith(t, address, insecure.NewCredentials())
}

func attackWith(t testing.TB, address string, c credentials.TransportCredentials) *attacker {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, remote.Remoting_Receive_FullMethodName,
		grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallSendMsgSize(1<<30), grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	return &attacker{conn, stream}
}

// send ignores errors: the stream may have been closed in the middle of a frame.
func (a *attacker) send(frame []byte) { _ = a.stream.SendMsg(frame) }

// fate waits for the stream's end, or for an answer.
func (a *attacker) fate() ([]byte, error) {
	var answer []byte
	err := a.stream.RecvMsg(&answer)
	return answer, err
}

// greet claims an address and waits for consent.
func (a *attacker) greet(t testing.TB, address string) {
	t.Helper()
	a.send(greeting(address))
	if _, err := a.fate(); err != nil {
		t.Fatalf("the greeting was refused: %v", err)
	}
}

func greeting(address string) []byte {
	return encode(connectRequest(&remote.ConnectRequest{
		ConnectionType: &remote.ConnectRequest_ServerConnection{
			ServerConnection: &remote.ServerConnection{MemberId: "m", Address: address},
		},
	}))
}

func connectRequest(r *remote.ConnectRequest) *remote.RemoteMessage {
	return &remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: r}}
}

func connectResponse(r *remote.ConnectResponse) *remote.RemoteMessage {
	return &remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectResponse{ConnectResponse: r}}
}

func disconnectRequest() *remote.RemoteMessage {
	return &remote.RemoteMessage{
		MessageType: &remote.RemoteMessage_DisconnectRequest{DisconnectRequest: &remote.DisconnectRequest{}},
	}
}

func encode(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func batch(b *remote.MessageBatch) []byte {
	return encode(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: b}})
}

// one is a good batch with one message, changed.
func one(change func(*remote.MessageBatch, *remote.MessageEnvelope)) []byte {
	e := &remote.MessageEnvelope{MessageData: encode(&messages.RequestVote{Round: 7})}
	b := &remote.MessageBatch{
		TypeNames: []string{"troupe.raft.v1.RequestVote"}, Targets: []string{"raft/g"}, Envelopes: []*remote.MessageEnvelope{e},
	}
	change(b, e)
	return batch(b)
}

// typed is a batch with one message of any type for any target.
func typed(m proto.Message, target string) []byte {
	return one(func(b *remote.MessageBatch, e *remote.MessageEnvelope) {
		b.TypeNames[0], b.Targets[0], e.MessageData = string(proto.MessageName(m)), target, encode(m)
	})
}

// many is a batch with n empty fields of one number.
func many(field protowire.Number, n int) []byte {
	body := make([]byte, 0, 2*n)
	for range n {
		body = protowire.AppendTag(body, field, protowire.BytesType)
		body = append(body, 0)
	}
	frame := protowire.AppendTag(nil, 1, protowire.BytesType)
	return protowire.AppendBytes(frame, body)
}

// heapMiB is the live heap after a collection.
func heapMiB() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc >> 20
}

// peakHeap samples the heap until stopped and returns the most it saw, in MiB, garbage included.
func peakHeap() (stop func() uint64) {
	quit, most := make(chan struct{}), make(chan uint64)
	go func() {
		var m runtime.MemStats
		peak := uint64(0)
		for {
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc>>20)
			select {
			case <-quit:
				most <- peak
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return func() uint64 { close(quit); return <-most }
}

var (
	stopActor  = &actor.Stop{}
	poisonPill = &actor.PoisonPill{}
)
