package transport

import (
	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"github.com/troupe-raft/troupe/messages"
	"google.golang.org/protobuf/proto"
)

// deliver mails what a checked batch holds, as Proto.Actor's reader would: a message for nobody is a dead letter. Of what a stranger
// says, only some is heard.
func (g *guarded) deliver(from *peer, isStranger bool) error {
	f := &g.frame
	for _, e := range f.batch.Envelopes {
		m, err := f.message(e)
		if err != nil {
			return refuse(RefusedMalformed, "a %s that cannot be decoded: %v", f.types[e.TypeId].name, err)
		}
		if isStranger && !from.hears(m) {
			continue
		}
		var message any = m
		if e.Sender != 0 {
			message = &actor.MessageEnvelope{Message: m, Sender: withRequest(f.batch.Senders[e.Sender-1], e.SenderRequestId)}
		}
		target := withRequest(f.targets[e.Target], e.TargetRequestId)
		process, _ := g.transport.system.ProcessRegistry.GetLocal(target.Id)
		g.transport.counters.received.Add(1)
		process.SendUserMessage(target, message)
	}
	return nil
}

// withRequest returns a PID with the id of a request. It does not change the stream's PIDs, since actors hold them.
func withRequest(pid *actor.PID, request uint32) *actor.PID {
	if request == 0 {
		return pid
	}
	return &actor.PID{Address: pid.Address, Id: pid.Id, RequestId: request}
}

// message decodes one message. Log entries stay in a frame that is mostly log entries. Out of any other frame they are copied,
// since they would keep all of it in memory.
func (f *frame) message(e *remote.MessageEnvelope) (proto.Message, error) {
	t := f.types[e.TypeId]
	if t.isAppendEntries {
		m, err := messages.UnmarshalAppendEntries(e.MessageData)
		if err == nil && !f.mostly(m.Entries) {
			m.CloneEntries()
		}
		return m, err
	}
	m := t.typ.New().Interface()
	return m, proto.Unmarshal(e.MessageData, m)
}
