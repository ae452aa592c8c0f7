package clientport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// strictJSON is Connect's JSON, but for unknown fields and the wording of errors. Its value is the name of the codec.
type strictJSON string

func (c strictJSON) Name() string { return string(c) }

// IsBinary and MarshalStable are what Connect's GET requests ask of a codec.
func (c strictJSON) IsBinary() bool { return false }

func (c strictJSON) MarshalStable(message any) ([]byte, error) {
	b, err := c.Marshal(message)
	if err != nil {
		return nil, err
	}
	compact := bytes.NewBuffer(nil)
	if err := json.Compact(compact, b); err != nil {
		return nil, err
	}
	return compact.Bytes(), nil
}

func (c strictJSON) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

func (c strictJSON) MarshalAppend(dst []byte, message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a protobuf message", message)
	}
	return protojson.MarshalOptions{EmitDefaultValues: true}.MarshalAppend(dst, m)
}

func (c strictJSON) Unmarshal(b []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is not a protobuf message", message)
	}
	if len(b) == 0 {
		return errors.New("the body is empty: send a JSON object, at least {}")
	}
	if err := (protojson.UnmarshalOptions{}).Unmarshal(b, m); err != nil {
		return fmt.Errorf("the body is not a JSON %s: %s", m.ProtoReflect().Descriptor().Name(), plainText(err))
	}
	return nil
}

// plainText strips protojson's prefix, in which it varies a space so that nobody relies on the text.
func plainText(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return strings.TrimPrefix(text, "proto: ")
}
