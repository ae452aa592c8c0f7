package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// What CONTRIBUTING.md promises of the code, as far as a program can see it.
const (
	mostLines         = 450 // in a file
	mostFunctionLines = 70
	mostColumns       = 140 // a tab counts as four
)

const module = "github.com/troupe-raft/troupe/"

// floors are those of ARCHITECTURE.md. Imports point down, or stay within a folder.
var floors = map[string]int{"messages": 0, "persistence": 1, "actors": 2, "cluster": 3, "cmd": 4, "examples": 4}

func TestTheHouseIsInOrder(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != "." || d.Name() == "testdata" {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, ".go") {
			inspectFile(t, name, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sourceFile is one file of the house.
type sourceFile struct {
	t      *testing.T
	name   string // from the repository's root, with slashes
	set    *token.FileSet
	syntax *ast.File
}

func inspectFile(t *testing.T, name, path string) {
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := sourceFile{t: t, name: filepath.ToSlash(name), set: token.NewFileSet()}
	f.syntax, err = parser.ParseFile(f.set, path, content, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	f.imports()
	if ast.IsGenerated(f.syntax) {
		return
	}
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	if len(lines) > mostLines {
		t.Errorf("%s has %d lines, of which %d are allowed: look for the second idea in it", f.name, len(lines), mostLines)
	}
	for i, line := range lines {
		if n := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    ")); n > mostColumns {
			t.Errorf("%s:%d has %d columns, of which %d are allowed", f.name, i+1, n, mostColumns)
		}
	}
	f.functions()
	if strings.HasPrefix(f.name, "actors/") && !strings.HasSuffix(f.name, "_test.go") {
		f.seams()
	}
}

func (f sourceFile) at(n ast.Node) int { return f.set.Position(n.Pos()).Line }

func (f sourceFile) imports() {
	own, _, _ := strings.Cut(f.name, "/")
	floor, known := floors[own]
	if !known {
		f.t.Errorf("%s is in no known folder", f.name)
	}
	for _, spec := range f.syntax.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		inner, ours := strings.CutPrefix(path, module)
		folder, _, _ := strings.Cut(inner, "/")
		if ours && folder != own && floors[folder] >= floor {
			f.t.Errorf("%s:%d imports %s, which is not below it", f.name, f.at(spec), path)
		}
		simulator := strings.HasPrefix(f.name, "cluster/simulation/")
		if ours && simulator && folder == "cluster" && inner != "cluster/simulation" && inner != "cluster/kv" {
			f.t.Errorf("%s:%d imports %s: the simulator knows the floors below, and the map", f.name, f.at(spec), path)
		}
	}
}

func (f sourceFile) functions() {
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if function, ok := n.(*ast.FuncDecl); ok {
			if n := f.set.Position(function.End()).Line - f.at(function) + 1; n > mostFunctionLines {
				f.t.Errorf("%s:%d: %s has %d lines, of which %d are allowed",
					f.name, f.at(function), function.Name.Name, n, mostFunctionLines)
			}
		}
		return true
	})
}

// forbidden are functions that would not come through the seams.
var forbidden = map[string]func(function string) bool{
	"time": func(function string) bool {
		return strings.Contains(" Now Since Until Sleep After AfterFunc Tick NewTimer NewTicker ", " "+function+" ")
	},
	"rand": func(function string) bool { return function != "New" && function != "NewPCG" && function != "Rand" },
	"os":   func(string) bool { return true },
	"net":  func(string) bool { return true },
}

// seams: everything in actors/ runs unchanged in the simulator.
func (f sourceFile) seams() {
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			f.t.Errorf("%s:%d starts a goroutine", f.name, f.at(n))
		case *ast.SelectorExpr:
			of, ok := n.X.(*ast.Ident)
			if ok && of.Obj == nil && forbidden[of.Name] != nil && forbidden[of.Name](n.Sel.Name) {
				f.t.Errorf("%s:%d uses %s.%s", f.name, f.at(n), of.Name, n.Sel.Name)
			}
		}
		return true
	})
}
