package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/bufbuild/protocompile/linker"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// A style is what a kind of name looks like.
type style struct {
	name    string
	pattern *regexp.Regexp
}

var (
	pascalCase     = style{"PascalCase", regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)}
	lowerSnakeCase = style{"lower_snake_case", regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)}
	upperSnakeCase = style{"UPPER_SNAKE_CASE", regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)}
	protoFile      = style{"lower_snake_case.proto", regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*\.proto$`)}
	versioned      = style{"lower.snake_case.v1", regexp.MustCompile(`^([a-z][a-z0-9]*(_[a-z0-9]+)*\.)+v[1-9][0-9]*$`)}
)

var wordStart = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// lint holds names to the styles of buf's STANDARD rules: Go types and paths of the client port are named after them.
func lint(files linker.Files) error {
	l := &linter{usedBy: map[protoreflect.FullName]protoreflect.FullName{}}
	for _, file := range files {
		l.file(file)
	}
	return errors.Join(l.found...)
}

type linter struct {
	found  []error
	usedBy map[protoreflect.FullName]protoreflect.FullName // request and response types, by RPC
}

func (l *linter) report(at protoreflect.Descriptor, format string, args ...any) {
	line := at.ParentFile().SourceLocations().ByDescriptor(at).StartLine + 1
	l.found = append(l.found, fmt.Errorf("%s:%d: %s", at.ParentFile().Path(), line, fmt.Sprintf(format, args...)))
}

func (l *linter) name(of protoreflect.Descriptor, want style) {
	if name := string(of.Name()); !want.pattern.MatchString(name) {
		l.report(of, "the name %q is not in %s", name, want.name)
	}
}

func (l *linter) file(file protoreflect.FileDescriptor) {
	if !protoFile.pattern.MatchString(file.Path()) {
		l.report(file, "the file's name is not in %s", protoFile.name)
	}
	if !versioned.pattern.MatchString(string(file.Package())) {
		l.report(file, "the package %q is not in %s", file.Package(), versioned.name)
	}
	if file.Syntax() != protoreflect.Proto3 {
		l.report(file, "the syntax is not proto3")
	}
	for i := range file.Imports().Len() {
		if imported := file.Imports().Get(i); imported.IsPublic {
			l.report(file, "the import of %s is public", imported.Path())
		}
	}
	l.enums(file.Enums())
	l.messages(file.Messages())
	for i := range file.Services().Len() {
		l.service(file.Services().Get(i))
	}
}

func (l *linter) messages(messages protoreflect.MessageDescriptors) {
	for i := range messages.Len() {
		message := messages.Get(i)
		if message.IsMapEntry() {
			continue
		}
		l.name(message, pascalCase)
		for j := range message.Fields().Len() {
			l.name(message.Fields().Get(j), lowerSnakeCase)
		}
		for j := range message.Oneofs().Len() {
			if oneof := message.Oneofs().Get(j); !oneof.IsSynthetic() {
				l.name(oneof, lowerSnakeCase)
			}
		}
		l.enums(message.Enums())
		l.messages(message.Messages())
	}
}

// shortNames are enums whose values people write in JSON.
var shortNames = map[protoreflect.FullName]bool{"troupe.client.v1.Consistency": true}

func (l *linter) enums(enums protoreflect.EnumDescriptors) {
	for i := range enums.Len() {
		enum := enums.Get(i)
		l.name(enum, pascalCase)
		if options, ok := enum.Options().(*descriptorpb.EnumOptions); ok && options.GetAllowAlias() {
			l.report(enum, "two values may have the same number")
		}
		prefix := strings.ToUpper(wordStart.ReplaceAllString(string(enum.Name()), "${1}_$2")) + "_"
		for j := range enum.Values().Len() {
			value := enum.Values().Get(j)
			l.name(value, upperSnakeCase)
			if !strings.HasPrefix(string(value.Name()), prefix) && !shortNames[enum.FullName()] {
				l.report(value, "the name %q does not begin with %s", value.Name(), prefix)
			}
		}
	}
}

func (l *linter) service(service protoreflect.ServiceDescriptor) {
	l.name(service, pascalCase)
	for i := range service.Methods().Len() {
		rpc := service.Methods().Get(i)
		l.name(rpc, pascalCase)
		l.typeOf(rpc, rpc.Input(), "Request")
		l.typeOf(rpc, rpc.Output(), "Response")
	}
}

// typeOf wants each RPC to have a request and a response of its own: they grow apart.
func (l *linter) typeOf(rpc protoreflect.MethodDescriptor, message protoreflect.MessageDescriptor, suffix string) {
	short := rpc.Name() + protoreflect.Name(suffix)
	if name := message.Name(); name != short && name != rpc.Parent().Name()+short {
		l.report(rpc, "%s of %s is not named %s", name, rpc.Name(), short)
	}
	if other, used := l.usedBy[message.FullName()]; used {
		l.report(rpc, "%s is used by %s, too", message.Name(), other)
	}
	l.usedBy[message.FullName()] = rpc.FullName()
}
