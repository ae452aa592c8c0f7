package messages

import (
	"errors"
	"strings"
	"testing"
)

func TestCommandsOfSessionsAreChecked(t *testing.T) {
	id := SessionID{Index: 3, Nonce: 4}.Bytes()
	for _, c := range []struct {
		serial *SessionSerial
		says   string // empty: nothing is wrong
	}{
		{nil, ""},
		{&SessionSerial{Id: id, Serial: 1}, ""},
		{&SessionSerial{Id: id, Serial: 7, Lowest: 7}, ""},
		{&SessionSerial{Id: id}, "the serial is 0"},
		{&SessionSerial{Id: id, Serial: 7, Lowest: 8}, "lowest serial without an answer is 8"},
		{&SessionSerial{Id: id[1:], Serial: 1}, "a session has 16 bytes, not 15"},
		{&SessionSerial{Serial: 1}, "a session has 16 bytes, not 0"},
		{&SessionSerial{Id: make([]byte, 16), Serial: 1}, "there is no session"},
	} {
		command, err := c.serial.Command()
		switch {
		case c.says == "":
			if err != nil || c.serial != nil && (command.Serial != c.serial.Serial || command.Session.Nonce != 4) {
				t.Errorf("%v: %v %v", c.serial, command, err)
			}
		case err == nil || !errors.Is(err, ErrMalformedSession) || !strings.Contains(err.Error(), c.says):
			t.Errorf("%v: the error is %v, want %q", c.serial, err, c.says)
		}
	}
}
