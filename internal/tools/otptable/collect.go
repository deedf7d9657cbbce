package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// behaviour is what one test says of itself.
type behaviour struct {
	id       string // as in SV-18
	sentence string // what is so, in one sentence
	adapted  string // where Go differs; "" if it does not
	test     string // the function's name
	file     string // from the module's root, with slashes
	line     int
}

// collect reads the tests of all behaviours, by id. The error joins all that is wrong, each with its file and line.
func collect(module fs.FS, s spec) (map[string]behaviour, error) {
	found, problems := map[string]behaviour{}, []error(nil)
	err := eachTestFile(module, func(name string) {
		tests, errs := readFile(module, name, s)
		problems = append(problems, errs...)
		for _, b := range tests {
			if first, twice := found[b.id]; twice {
				problems = append(problems, fmt.Errorf("%s:%d: %s: %s has a test already, %s in %s:%d",
					b.file, b.line, b.test, b.id, first.test, first.file, first.line))
				continue
			}
			found[b.id] = b
		}
	})
	if err != nil {
		problems = append(problems, err)
	}
	problems = append(problems, missing(s, found)...)
	return found, errors.Join(problems...)
}

// eachTestFile visits the test files that belong to the module, in the order of their paths: as the go command has it,
// nothing below testdata, a name that begins with a dot or an underscore, or another module's go.mod.
func eachTestFile(module fs.FS, visit func(name string)) error {
	return fs.WalkDir(module, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("otptable: %w", err)
		case entry.IsDir() && name != "." && foreign(module, name):
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(name, "_test.go"):
			visit(name)
		}
		return nil
	})
}

func foreign(module fs.FS, dir string) bool {
	base := path.Base(dir)
	if base == "testdata" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := fs.Stat(module, path.Join(dir, "go.mod"))
	return err == nil
}

// readFile gives the tests of behaviours in one file, and what is wrong in it.
func readFile(module fs.FS, name string, s spec) (tests []behaviour, problems []error) {
	source, err := fs.ReadFile(module, name)
	if err != nil {
		return nil, []error{fmt.Errorf("otptable: %w", err)}
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, []error{err} // it names file and line itself
	}
	names := s.names()
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Recv != nil || !names.MatchString(f.Name.Name) {
			continue
		}
		b, err := readTest(f, s, names)
		b.file, b.line = name, fset.Position(f.Pos()).Line
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %s: %w", name, b.line, b.test, err))
		}
		if b.id != "" {
			tests = append(tests, b)
		}
	}
	return tests, problems
}

// readTest reads one test. Its id is "" if it is none of the spec's; a bad comment leaves the id, so that it does not
// count as missing as well.
func readTest(f *ast.FuncDecl, s spec, names *regexp.Regexp) (behaviour, error) {
	b := behaviour{test: f.Name.Name}
	id, err := readName(names.FindStringSubmatch(f.Name.Name), s)
	if err != nil {
		return b, err
	}
	b.id = id
	b.sentence, b.adapted, err = readComment(f)
	return b, err
}

// readName gives the id that a test's name stands for.
func readName(parts []string, s spec) (string, error) {
	prefix, rest := parts[1], parts[2]
	if !regexp.MustCompile(`^[0-9][0-9]_[A-Z]`).MatchString(rest) {
		return "", errors.New("the name must be the id's two digits, an underscore and a capitalised name")
	}
	id := prefix + "-" + rest[:2]
	g := s.groups[slices.IndexFunc(s.groups, func(g group) bool { return g.prefix == prefix })]
	if ids := g.ids(); !slices.Contains(ids, id) {
		return "", fmt.Errorf("there is no %s; they go from %s to %s", id, ids[0], ids[len(ids)-1])
	}
	if why := s.reasonAgainst(id); why != "" {
		return "", fmt.Errorf("%s has no Go counterpart: %s", id, why)
	}
	return id, nil
}

// readComment takes a test's comment apart. Its form is exact, so that nothing is left out of the table by a slip.
func readComment(f *ast.FuncDecl) (sentence, adapted string, err error) {
	if f.Doc == nil {
		return "", "", errors.New("it has no comment")
	}
	paragraphs := strings.Split(strings.TrimSpace(f.Doc.Text()), "\n\n")
	sentence, named := strings.CutPrefix(oneLine(paragraphs[0]), f.Name.Name+": ")
	switch {
	case !named:
		return "", "", fmt.Errorf("the comment must begin with %q", f.Name.Name+": ")
	case !strings.HasSuffix(sentence, "."):
		return "", "", errors.New("the comment's first paragraph must be a sentence, with its full stop")
	case len(paragraphs) == 1:
		return sentence, "", nil
	}
	adapted, marked := strings.CutPrefix(oneLine(paragraphs[1]), "Adapted: ")
	switch {
	case !marked:
		return "", "", errors.New(`the comment's second paragraph must begin with "Adapted: "`)
	case !strings.HasSuffix(adapted, "."):
		return "", "", errors.New("the comment's second paragraph must end with a full stop")
	case len(paragraphs) > 2:
		return "", "", fmt.Errorf("the comment has %d paragraphs; at most two go into the table", len(paragraphs))
	}
	return sentence, adapted, nil
}

func oneLine(paragraph string) string { return strings.Join(strings.Fields(paragraph), " ") }

// missing has one error for each group in which ids have no test.
func missing(s spec, found map[string]behaviour) []error {
	var problems []error
	for _, g := range s.groups {
		lacks := slices.DeleteFunc(g.ids(), func(id string) bool {
			_, has := found[id]
			return has || s.reasonAgainst(id) != ""
		})
		if len(lacks) > 0 {
			problems = append(problems, fmt.Errorf("%s: no test for %s", g.title, strings.Join(lacks, ", ")))
		}
	}
	return problems
}
