package taskrunner_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// protoactorPath is how the import paths begin whose types must not show in a signature.
const protoactorPath = "github.com/asynkron/protoactor-go"

// documentedByInterface are methods whose meaning is that of the standard interface they satisfy.
var documentedByInterface = []string{"Error", "String", "Unwrap", "ServeHTTP"}

// eachFile parses every file of every package, but for tests and what was generated.
func eachFile(t *testing.T, visit func(p goPackage, fset *token.FileSet, file *ast.File)) {
	t.Helper()
	for _, p := range ourPackages(t) {
		for _, name := range p.files() {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if !ast.IsGenerated(file) {
				visit(p, fset, file)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	t.Parallel()
	for _, p := range ourPackages(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("package %s has no package comment", p.ImportPath)
		}
	}
}

// What init does, nobody asked for, and no test can do it twice.
func TestNoInit(t *testing.T) {
	t.Parallel()
	eachFile(t, func(_ goPackage, fset *token.FileSet, file *ast.File) {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init: do it in a constructor", fset.Position(f.Pos()))
			}
		}
	})
}

func TestEveryExportedNameIsDocumented(t *testing.T) {
	t.Parallel()
	eachFile(t, func(_ goPackage, fset *token.FileSet, file *ast.File) {
		for _, name := range undocumented(file) {
			t.Errorf("%s: %s has no comment", fset.Position(name.Pos()), name.Name)
		}
	})
}

// Signatures are what users compile against. Types of protoactor must show in none, not even inside internal: an alias
// could carry them out. Of our own internals, none may show outside but process.System, which users meet by its alias.
func TestSignaturesShowNothingInternal(t *testing.T) {
	t.Parallel()
	eachFile(t, func(p goPackage, fset *token.FileSet, file *ast.File) {
		public := !strings.Contains(p.ImportPath+"/", "/internal/")
		for _, shown := range shownTypes(file) {
			if problem := mustNotShow(file, shown, public); problem != "" {
				t.Errorf("%s: %s", fset.Position(shown.Pos()), problem)
			}
		}
	})
}

// mustNotShow says what is wrong with a type of another package in a signature, "" if nothing is.
func mustNotShow(file *ast.File, shown *ast.SelectorExpr, public bool) string {
	name := shown.X.(*ast.Ident).Name
	from := importPath(file, name)
	switch {
	case strings.HasPrefix(from, protoactorPath):
		return name + "." + shown.Sel.Name + " of protoactor shows in an exported name: its API changes under us"
	case public && strings.HasPrefix(from, modulePath+"/internal/") && shown.Sel.Name != "System":
		return name + "." + shown.Sel.Name + " is internal and shows in an exported name: users cannot name it"
	}
	return ""
}

// importPath gives the path of the import that name stands for in the file.
func importPath(file *ast.File, name string) string {
	for _, spec := range file.Imports {
		from, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if spec.Name != nil && spec.Name.Name == name || spec.Name == nil && path.Base(from) == name {
			return from
		}
	}
	return ""
}

// undocumented gives the exported names of a file that have no comment: functions, types and their methods,
// constants and variables. A comment on a group of constants or variables is enough for all of them.
func undocumented(file *ast.File) []*ast.Ident {
	var names []*ast.Ident
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && exported(d) && !(d.Recv != nil && slices.Contains(documentedByInterface, d.Name.Name)) {
				names = append(names, d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				names = append(names, undocumentedSpec(d, spec)...)
			}
		}
	}
	return names
}

func undocumentedSpec(decl *ast.GenDecl, spec ast.Spec) []*ast.Ident {
	var names []*ast.Ident
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && s.Comment == nil && decl.Doc == nil {
			names = append(names, s.Name)
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() && s.Doc == nil && s.Comment == nil && decl.Doc == nil {
				names = append(names, name)
			}
		}
	}
	return names
}

// exported reports whether users can call a function: its name and its receiver's type are exported.
func exported(f *ast.FuncDecl) bool {
	if !f.Name.IsExported() || f.Recv == nil {
		return f.Name.IsExported()
	}
	receiver := f.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.IndexListExpr:
			receiver = r.X
		case *ast.Ident:
			return r.IsExported()
		default:
			return false
		}
	}
}

// shownTypes gives every other package's name, with the package's, in the signatures of a file's exported functions
// and methods, and in its exported types, constants and variables, less what is unexported inside them. A type alias
// shows nothing: it is the way to give an internal type a public name.
func shownTypes(file *ast.File) []*ast.SelectorExpr {
	var shown []*ast.SelectorExpr
	var look func(n ast.Node) bool
	look = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StructType:
			for _, field := range n.Fields.List {
				if len(field.Names) == 0 || slices.ContainsFunc(field.Names, (*ast.Ident).IsExported) {
					ast.Inspect(field.Type, look)
				}
			}
			return false
		case *ast.SelectorExpr:
			if _, ok := n.X.(*ast.Ident); ok {
				shown = append(shown, n)
			}
			return false
		}
		return true
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if exported(d) {
				ast.Inspect(d.Type, look)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if part := shownPart(spec); part != nil {
					ast.Inspect(part, look)
				}
			}
		}
	}
	return shown
}

// shownPart gives the type behind an exported name, nil if there is none to show.
func shownPart(spec ast.Spec) ast.Expr {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && !s.Assign.IsValid() {
			return s.Type
		}
	case *ast.ValueSpec:
		if s.Type != nil && slices.ContainsFunc(s.Names, (*ast.Ident).IsExported) {
			return s.Type
		}
	}
	return nil
}

// TestHouseRulesFindBreaches keeps the rules of this file honest.
func TestHouseRulesFindBreaches(t *testing.T) {
	t.Parallel()
	const source = `package p
import ("github.com/asynkron/protoactor-go/actor"; proc "github.com/taskrunner-go/taskrunner/internal/process"; "io")
// F is documented.
func F(*actor.PID) io.Reader { var _ actor.Context; return nil }
func G() (<-chan []proc.Request, *proc.System)
type T struct { Shown map[string]proc.From; hidden actor.Props; proc.Embedded }
// Alias is documented.
type Alias = proc.Ref
func (*T) M(func(actor.Future))
func (T) Error() string
func (t) N(actor.Hidden)
func unexported(actor.Hidden)
type t struct{ Field actor.Hidden }
// Documented together.
const (A = 1; B = 2)
var C proc.Config
type I interface { Do(actor.Message) }
`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var bare, shown []string
	for _, name := range undocumented(file) {
		bare = append(bare, name.Name)
	}
	if want := []string{"G", "T", "M", "C", "I"}; !slices.Equal(bare, want) {
		t.Errorf("undocumented: %q, want %q", bare, want)
	}
	for _, name := range shownTypes(file) {
		if mustNotShow(file, name, true) != "" {
			shown = append(shown, name.Sel.Name)
		}
	}
	if want := []string{"PID", "Request", "From", "Embedded", "Future", "Config", "Message"}; !slices.Equal(shown, want) {
		t.Errorf("shown: %q, want %q", shown, want)
	}
}
