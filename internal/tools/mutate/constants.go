package main

import (
	"go/ast"
	"go/token"
	"go/types"
)

// nextConstants gives for each constant of the files' enums the next one of its type, and false for true. An enum is a
// type of the package with constants that are declared with it.
func nextConstants(files []*ast.File) map[string]string {
	enums := map[string][]string{"bool": {"false", "true"}}
	for _, file := range files {
		for _, decl := range file.Decls {
			if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.CONST {
				addConstants(d, enums)
			}
		}
	}
	next := map[string]string{}
	for _, constants := range enums {
		for i, c := range constants {
			next[c] = constants[(i+1)%len(constants)]
		}
	}
	return next
}

// addConstants adds the constants of one declaration to the enums of their types.
func addConstants(decl *ast.GenDecl, enums map[string][]string) {
	var typ ast.Expr // a constant without type and value has those of the one before
	for _, spec := range decl.Specs {
		s := spec.(*ast.ValueSpec)
		if s.Type != nil || len(s.Values) > 0 {
			typ = s.Type
		}
		enum, ok := typ.(*ast.Ident)
		if !ok || types.Universe.Lookup(enum.Name) != nil {
			continue
		}
		for _, name := range s.Names {
			if name.Name != "_" {
				enums[enum.Name] = append(enums[enum.Name], name.Name)
			}
		}
	}
}
