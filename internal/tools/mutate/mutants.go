package main

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
)

// mutant is one change of one file: text stands where the bytes from start to end stood.
type mutant struct {
	file       string
	source     []byte // of the file as it is
	line       int
	start, end int
	text       string
	equivalent string // why no test can notice it, "" if one can
}

// mutated gives the file with the change.
func (m mutant) mutated() []byte {
	return slices.Concat(m.source[:m.start], []byte(m.text), m.source[m.end:])
}

// read makes the mutants of all files, in the order of their places.
func read(names []string) ([]mutant, error) {
	fset, files, sources := token.NewFileSet(), []*ast.File(nil), [][]byte(nil)
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("mutate: %w", err)
		}
		file, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("mutate: %w", err)
		}
		files, sources = append(files, file), append(sources, source)
	}
	var all []mutant
	next := nextConstants(files)
	for i, file := range files {
		f := &finder{file: fset.File(file.FileStart), source: sources[i], next: next}
		ast.Inspect(file, f.visit)
		if err := f.excuse(file); err != nil {
			return nil, err
		}
		slices.SortStableFunc(f.found, func(a, b mutant) int { return cmp.Compare(a.start, b.start) })
		all = append(all, f.found...)
	}
	if len(all) == 0 {
		return nil, errors.New("mutate: there is nothing to mutate in the files")
	}
	return all, nil
}

// finder collects the mutants of one file.
type finder struct {
	file   *token.File
	source []byte
	next   map[string]string // see nextConstants
	found  []mutant
}

// replace adds a mutant, unless it is there already: a constant of a literal that is returned is met twice.
func (f *finder) replace(start, end token.Pos, text string) {
	m := mutant{
		file: f.file.Name(), source: f.source, line: f.file.Line(start),
		start: f.file.Offset(start), end: f.file.Offset(end), text: text,
	}
	same := func(o mutant) bool { return o.start == m.start && o.text == m.text }
	if f.text(start, end) != text && !slices.ContainsFunc(f.found, same) {
		f.found = append(f.found, m)
	}
}

func (f *finder) text(start, end token.Pos) string {
	return string(f.source[f.file.Offset(start):f.file.Offset(end)])
}

func (f *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IfStmt:
		f.negate(n.Cond)
	case *ast.SwitchStmt:
		f.clauses(n.Body, n.Tag == nil)
	case *ast.TypeSwitchStmt:
		f.clauses(n.Body, false)
	case *ast.BinaryExpr:
		f.operator(n.OpPos, n.Op)
	case *ast.UnaryExpr:
		f.operator(n.OpPos, n.Op)
	case *ast.AssignStmt:
		f.operator(n.TokPos, n.Tok)
	case *ast.IncDecStmt:
		f.operator(n.TokPos, n.Tok)
	case *ast.BasicLit:
		f.integer(n)
	case *ast.ReturnStmt:
		f.constants(n.Results...)
	case *ast.CompositeLit:
		f.constants(n.Elts...) // a decision may be a table
	case *ast.BlockStmt:
		f.leaveOut(n.List)
	case *ast.CaseClause:
		f.leaveOut(n.Body)
	case *ast.CommClause:
		f.leaveOut(n.Body)
	}
	return true
}

// negate leaves == and != to operator, which makes the same of them.
func (f *finder) negate(condition ast.Expr) {
	if b, ok := ast.Unparen(condition).(*ast.BinaryExpr); !ok || b.Op != token.EQL && b.Op != token.NEQ {
		f.replace(condition.Pos(), condition.End(), "!("+f.text(condition.Pos(), condition.End())+")")
	}
}

// operator puts the operator there that is mistaken for this one most easily.
func (f *finder) operator(at token.Pos, op token.Token) {
	for _, pair := range [...][2]token.Token{
		{token.LSS, token.LEQ}, {token.GTR, token.GEQ}, {token.EQL, token.NEQ}, {token.LAND, token.LOR},
		{token.ADD, token.SUB}, {token.ADD_ASSIGN, token.SUB_ASSIGN}, {token.INC, token.DEC},
	} {
		if i := slices.Index(pair[:], op); i >= 0 {
			f.replace(at, at+token.Pos(len(op.String())), pair[1-i].String())
		}
	}
}

// integer makes one more of an integer; no literal of another kind parses as one.
func (f *finder) integer(lit *ast.BasicLit) {
	if n, err := strconv.ParseInt(lit.Value, 0, 64); err == nil {
		f.replace(lit.Pos(), lit.End(), strconv.FormatInt(n+1, 10))
	}
}

// constants replaces the constants of enums among values, and inside them.
func (f *finder) constants(values ...ast.Expr) {
	for _, value := range values {
		ast.Inspect(value, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				return false // what it returns, visit comes to
			case *ast.SelectorExpr:
				f.constants(n.X) // the selected name is of another scope
				return false
			case *ast.KeyValueExpr:
				f.constants(n.Value) // a key is a field's name, or must be the only one of its value
				return false
			case *ast.Ident:
				if other, ok := f.next[n.Name]; ok {
					f.replace(n.Pos(), n.End(), other)
				}
			}
			return true
		})
	}
}

// clauses negates the conditions of a switch without a tag. In any other switch, each case does what the default does,
// and the default nothing.
func (f *finder) clauses(body *ast.BlockStmt, tagless bool) {
	fallback := ""
	for _, statement := range body.List {
		if clause := statement.(*ast.CaseClause); clause.List == nil {
			fallback = f.text(clause.Colon+1, clause.End())
		}
	}
	for _, statement := range body.List {
		switch clause := statement.(*ast.CaseClause); {
		case tagless:
			for _, condition := range clause.List {
				f.negate(condition)
			}
		case clause.List == nil:
			f.replace(clause.Pos(), clause.End(), "default:")
		default:
			f.replace(clause.Pos(), clause.End(), f.text(clause.Pos(), clause.Colon+1)+fallback)
		}
	}
}

// leaveOut leaves out each statement whose absence may compile.
func (f *finder) leaveOut(statements []ast.Stmt) {
	for _, statement := range statements {
		switch s := statement.(type) {
		case *ast.ExprStmt, *ast.AssignStmt, *ast.IncDecStmt:
			f.replace(s.Pos(), s.End(), "")
		}
	}
}

// excuse marks the mutants that are equivalent by a comment on their line. A comment without a reason is an error, and one
// without a mutant: what it is about has gone.
func (f *finder) excuse(file *ast.File) error {
	for _, group := range file.Comments {
		for _, comment := range group.List {
			reason, ok := strings.CutPrefix(comment.Text, "// mutate:equivalent:")
			if !ok {
				continue
			}
			line, used := f.file.Line(comment.Pos()), false
			for i := range f.found {
				if f.found[i].line == line {
					f.found[i].equivalent, used = strings.TrimSpace(reason), true
				}
			}
			if !used || strings.TrimSpace(reason) == "" {
				return fmt.Errorf("mutate: %s:%d: %s: there must be a mutant on the line, and a reason", f.file.Name(), line, comment.Text)
			}
		}
	}
	return nil
}
