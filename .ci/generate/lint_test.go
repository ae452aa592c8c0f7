package main

import (
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
)

const header = `syntax = "proto3"; package troupe.test.v1;`

func check(name, source string) error {
	files, err := compile(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{name: source, "other.proto": header + `message Other {}`}),
	}, name)
	if err != nil {
		return err
	}
	return lint(files)
}

func TestWhatFollowsTheRulesPasses(t *testing.T) {
	err := check("good_file.proto", header+`
		import "other.proto";
		message Good {
			enum TheKind { THE_KIND_NONE = 0; THE_KIND_V2 = 1; }
			TheKind the_kind = 1;
			optional Other other = 2;
			map<string, string> labels_2 = 3;
			oneof one_of { string text = 4; }
		}
		message GetRequest {}
		message GoodsGetResponse {}
		service Goods { rpc Get(GetRequest) returns (GoodsGetResponse); }`)
	if err != nil {
		t.Error(err)
	}
}

func TestEachRule(t *testing.T) {
	for _, rule := range []struct{ name, source, want string }{
		{"Bad.proto", header, "the file's name"},
		{"a.proto", `package troupe.test.v1;`, "no syntax specified"},
		{"a.proto", `syntax = "proto2"; package troupe.test.v1;`, "the syntax is not proto3"},
		{"a.proto", `syntax = "proto3";`, `the package ""`},
		{"a.proto", `syntax = "proto3"; package troupe.test;`, `the package "troupe.test"`},
		{"a.proto", header + `import "other.proto";`, "not used"},
		{"a.proto", header + `import public "other.proto";`, "the import of other.proto is public"},
		{"a.proto", header + `message bad {}`, `the name "bad"`},
		{"a.proto", header + `message Good { message bad {} }`, `the name "bad"`},
		{"a.proto", header + `message Good { string badName = 1; }`, `the name "badName"`},
		{"a.proto", header + `message Good { oneof badName { string a = 1; } }`, `the name "badName"`},
		{"a.proto", header + `enum bad { BAD_NONE = 0; }`, `the name "bad"`},
		{"a.proto", header + `enum Good { GOOD_none = 0; }`, `the name "GOOD_none"`},
		{"a.proto", header + `enum TheKind { NONE = 0; }`, "does not begin with THE_KIND_"},
		{"a.proto", header + `enum Good { GOOD_ONE = 1; }`, "zero"},
		{"a.proto", header + `enum Good { option allow_alias = true; GOOD_A = 0; GOOD_B = 0; }`, "the same number"},
		{"a.proto", header + `service bad {}`, `the name "bad"`},
		{"a.proto", header + rpc(`rpc get(GetRequest) returns (GetResponse);`), `the name "get"`},
		{"a.proto", header + rpc(`rpc Set(GetRequest) returns (SetResponse);`), "GetRequest of Set is not named SetRequest"},
		{"a.proto", header + rpc(`rpc Get(GetRequest) returns (SetResponse);`), "SetResponse of Get is not named GetResponse"},
		{"a.proto", header + rpc(`rpc Get(GetRequest) returns (GetRequest);`), "GetRequest is used by troupe.test.v1.Good.Get, too"},
	} {
		if err := check(rule.name, rule.source); err == nil || !strings.Contains(err.Error(), rule.want) {
			t.Errorf("%s: %s\n got: %v\nwant: %s", rule.name, rule.source, err, rule.want)
		}
	}
}

func rpc(line string) string {
	return `message GetRequest {} message GetResponse {} message SetRequest {} message SetResponse {} service Good { ` + line + ` }`
}
