// Generate compiles the .proto files of some directories, checks their names and writes their Go code, or with -check compares it.
// It runs in its module's root: go -C .ci run ./generate
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const root = ".."

// dirs have .proto files, which import nothing of each other's.
var dirs = []string{"messages", "examples/bank"}

var plugins = []struct{ name, options string }{
	{"protoc-gen-go", "paths=source_relative"},
	{"protoc-gen-connect-go", "paths=source_relative,simple"},
}

type generatedFile = pluginpb.CodeGeneratorResponse_File

func main() {
	check := flag.Bool("check", false, "write nothing; fail when the code in the tree is stale")
	flag.Parse()
	var failed []error
	for _, dir := range dirs {
		failed = append(failed, run(dir, *check))
	}
	if err := errors.Join(failed...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir string, check bool) error {
	paths, err := filepath.Glob(filepath.Join(root, dir, "*.proto"))
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("no %s/*.proto found: run it as go -C .ci run ./generate", dir)
	}
	names := make([]string, len(paths))
	for i, path := range paths {
		names[i] = filepath.Base(path)
	}
	files, err := compile(&protocompile.SourceResolver{ImportPaths: []string{filepath.Join(root, dir)}}, names...)
	if err != nil {
		return err
	}
	if err := lint(files); err != nil {
		return err
	}
	generated, err := generate(files)
	if err != nil {
		return err
	}
	if check {
		return compare(dir, generated)
	}
	return write(dir, generated)
}

// compile takes a warning, such as one of an unused import, for an error.
func compile(sources protocompile.Resolver, names ...string) (linker.Files, error) {
	var found []error
	note := func(err reporter.ErrorWithPos) { found = append(found, err) }
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(sources),
		SourceInfoMode: protocompile.SourceInfoStandard,
		Reporter:       reporter.NewReporter(func(err reporter.ErrorWithPos) error { note(err); return nil }, note),
	}
	files, err := compiler.Compile(context.Background(), names...)
	if len(found) > 0 {
		return nil, errors.Join(found...)
	}
	return files, err
}

func generate(files linker.Files) ([]*generatedFile, error) {
	request := &pluginpb.CodeGeneratorRequest{}
	sent := map[string]bool{}
	for _, file := range files {
		request.FileToGenerate = append(request.FileToGenerate, file.Path())
		request.ProtoFile = appendAfterImports(request.ProtoFile, file, sent)
	}
	var generated []*generatedFile
	for _, plugin := range plugins {
		request.Parameter = &plugin.options
		response, err := ask(plugin.name, request)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", plugin.name, err)
		}
		generated = append(generated, response.File...)
	}
	return generated, nil
}

// appendAfterImports keeps the order that plugins need: each file comes after those that it imports.
func appendAfterImports(
	to []*descriptorpb.FileDescriptorProto, file protoreflect.FileDescriptor, sent map[string]bool,
) []*descriptorpb.FileDescriptorProto {
	if sent[file.Path()] {
		return to
	}
	sent[file.Path()] = true
	for i := range file.Imports().Len() {
		to = appendAfterImports(to, file.Imports().Get(i), sent)
	}
	return append(to, protoutil.ProtoFromFileDescriptor(file))
}

func ask(plugin string, request *pluginpb.CodeGeneratorRequest) (*pluginpb.CodeGeneratorResponse, error) {
	input, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	command := exec.Command("go", "tool", plugin)
	command.Stdin = bytes.NewReader(input)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, err
	}
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(output, response); err != nil {
		return nil, err
	}
	if response.Error != nil {
		return nil, errors.New(response.GetError())
	}
	return response, nil
}

func write(dir string, generated []*generatedFile) error {
	for _, file := range generated {
		path := filepath.Join(root, dir, file.GetName())
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(file.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func compare(dir string, generated []*generatedFile) error {
	var stale []error
	for _, file := range generated {
		path := filepath.Join(dir, file.GetName())
		if existing, err := os.ReadFile(filepath.Join(root, path)); err != nil || string(existing) != file.GetContent() {
			stale = append(stale, fmt.Errorf("%s is stale: run go generate ./messages", path))
		}
	}
	return errors.Join(stale...)
}
