package clientport

import "google.golang.org/protobuf/encoding/protowire"

// sendBytes is about how much is sent at a time. A longer answer goes alone.
const sendBytes = 32 << 10

// writer makes the messages of one stream.
type writer struct {
	message frame
	answers []*call // that the next messages are for
	leader  string  // as it was said last
	alive   bool    // a message is sent, and be it an empty one
}

// hello is the first message of a stream.
func (w *writer) hello(credit int, leader string) frame {
	b := protowire.AppendVarint(protowire.AppendTag(w.message.emptied(), 3, protowire.VarintType), uint64(credit))
	w.leader = leader
	return protowire.AppendString(protowire.AppendTag(b, 4, protowire.BytesType), leader)
}

// name says who leads, if that is another than before.
func (w *writer) name(leader string) {
	if w.leader != leader {
		w.leader = leader
		w.message = protowire.AppendString(protowire.AppendTag(w.message, 4, protowire.BytesType), leader)
	}
}

func (w *writer) pong(pong uint64) {
	if pong != 0 {
		w.message = protowire.AppendVarint(protowire.AppendTag(w.message, 2, protowire.VarintType), pong)
	}
}

// send sends the answers, and what else was said before.
func (w *writer) send(s *exchange) error {
	sent, weight, values := 0, int64(0), int64(0)
	for i, c := range w.answers {
		w.message = appendAnswer(w.message, c)
		sent, weight, values = sent+1, weight+c.weight, values+int64(len(c.answer.Value))
		if len(w.message) < sendBytes && i+1 < len(w.answers) {
			continue
		}
		if err := s.send(w.message, sent, weight); err != nil {
			return err
		}
		s.forgetValues(values)
		w.message = w.message.emptied()
		sent, weight, values = 0, 0, 0
	}
	if len(w.message) == 0 && !w.alive {
		return nil
	}
	err := s.send(w.message, 0, 0)
	w.message = w.message.emptied()
	return err
}
