package simulation

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// history is what clients asked and were told.
type history struct {
	operations []porcupine.Operation
	started    int
	completed  int
	last       time.Duration // when an operation was last completed
	open       map[*operation]bool
	// unanswered are the callers whom the actors still owe an answer, also those for whom nobody waits any more.
	unanswered map[*asked]bool
	asked      int
	// requests are those for snapshots that have no answer.
	requests map[*request]bool
	// changes are those of members that have no answer.
	changes map[*reconfiguration]bool
	// doubts are those that may be done after all: what was forwarded may arrive when its caller has stopped waiting.
	doubts []*reconfiguration
	quiet  bool // clients begin nothing new
}

// outcome is what a client learned.
type outcome struct {
	value    []byte
	rejected bool
	// unknown: it may take effect at any time, or never. unkept: it took effect, and nobody knows with what answer.
	unknown, unkept bool
}

func (o *operation) record(got outcome) {
	if got.unknown && o.Read {
		return
	}
	end := int64(o.w.now)
	if got.unknown {
		end = int64(1) << 62
	}
	h := &o.w.history
	h.operations = append(h.operations, porcupine.Operation{
		ClientId: 0, Input: grouped{o.group, o.Operation}, Output: got, Call: int64(o.called), Return: end,
	})
}

// grouped is an operation of one group.
type grouped struct {
	group int
	op    Operation
}

// checkHistory checks that the operations took effect one at a time, each between its call and its answer.
func (w *world) checkHistory() {
	if w.failure != nil {
		return
	}
	for o := range w.history.open {
		o.record(outcome{unknown: true})
	}
	model := w.model()
	for _, part := range model.Partition(w.history.operations) {
		switch porcupine.CheckOperationsTimeout(model, part, time.Minute) {
		case porcupine.Illegal:
			w.fail("the clients' history is linearizable", "no order of these operations explains their answers:%s", describe(part))
		case porcupine.Unknown:
			w.fail("the clients' history can be checked within a minute", "the checker gave up at%s", describe(part))
		}
	}
}

func describe(operations []porcupine.Operation) string {
	var b strings.Builder
	for _, o := range operations {
		in, out := o.Input.(grouped).op, o.Output.(outcome)
		fmt.Fprintf(&b, "\n%14v to %14v  %q", time.Duration(o.Call), time.Duration(o.Return), in.Input)
		switch {
		case out.unknown:
			b.WriteString(" unknown")
		case out.unkept:
			b.WriteString(" took effect")
		case out.rejected:
			b.WriteString(" rejected")
		default:
			fmt.Fprintf(&b, " = %q", out.value)
		}
	}
	return b.String()
}

func (w *world) model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			next, value, rejected := w.machine.Apply(state.(string), input.(grouped).op)
			o := output.(outcome)
			return o.unknown || o.unkept || o.rejected == rejected && bytes.Equal(o.value, value), next
		},
		Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
			type part struct {
				group int
				name  string
			}
			place := map[part]int{}
			var parts [][]porcupine.Operation
			for _, o := range all {
				in := o.Input.(grouped)
				p := part{in.group, w.machine.partition(in.op)}
				i, known := place[p]
				if !known {
					i = len(parts)
					place[p] = i
					parts = append(parts, nil)
				}
				parts[i] = append(parts[i], o)
			}
			return parts
		},
	}
}
