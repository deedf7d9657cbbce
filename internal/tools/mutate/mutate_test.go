package main

import (
	"bytes"
	"context"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// enum stands before the snippets; nothing in it is mutated.
const enum = `package p
type color string
const (
	red, _ color = "r", "_"
	green  color = "g"
)
const (
	on state = iota
	off
	other = "of no enum"
	alone single = ""
	number int = int(off)
)
`

// written writes the snippet to a file of its own, behind enum, and gives the file's name.
func written(t *testing.T, snippet string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "p.go")
	if err := os.WriteFile(name, []byte(enum+snippet), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestMutants(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		snippet string
		want    []string // what each mutant makes of the snippet
	}{
		"if":       {"func f() { if a { g() } }", []string{"func f() { if !(a) { g() } }", "func f() { if a {  } }"}},
		"if, ==":   {"func f() { if (a == b) { } }", []string{"func f() { if (a != b) { } }"}},
		"if, !=":   {"func f() { if a != b { } }", []string{"func f() { if a == b { } }"}},
		"if, two":  {"func f() { if a || !b { } }", []string{"func f() { if !(a || !b) { } }", "func f() { if a && !b { } }"}},
		"if, init": {"func f() { if a := g(); a { } }", []string{"func f() { if a := g(); !(a) { } }"}},
		"boundary": {"var x = h(a < b, a <= b, a > b, a >= b, a & b)", []string{
			"var x = h(a <= b, a <= b, a > b, a >= b, a & b)",
			"var x = h(a < b, a < b, a > b, a >= b, a & b)",
			"var x = h(a < b, a <= b, a >= b, a >= b, a & b)",
			"var x = h(a < b, a <= b, a > b, a > b, a & b)",
		}},
		"and":     {"var x = a && b", []string{"var x = a || b"}},
		"plus":    {"var x = a + b - -c", []string{"var x = a - b - -c", "var x = a + b + -c", "var x = a + b - +c"}},
		"integer": {"var x, y, z, s = 0x0f, 1_000, 2.5, g(`7`, '7', 9_223_372_036_854_775_808)", []string{"var x, y, z, s = 16, 1_000, 2.5, g(`7`, '7', 9_223_372_036_854_775_808)", "var x, y, z, s = 0x0f, 1001, 2.5, g(`7`, '7', 9_223_372_036_854_775_808)"}},
		"statements": {"func f() { a = b; a += b; a++; <-c; for a--; b; a++ { go g() } }", []string{
			"func f() { ; a += b; a++; <-c; for a--; b; a++ { go g() } }",
			"func f() { a = b; ; a++; <-c; for a--; b; a++ { go g() } }",
			"func f() { a = b; a -= b; a++; <-c; for a--; b; a++ { go g() } }",
			"func f() { a = b; a += b; ; <-c; for a--; b; a++ { go g() } }",
			"func f() { a = b; a += b; a--; <-c; for a--; b; a++ { go g() } }",
			"func f() { a = b; a += b; a++; ; for a--; b; a++ { go g() } }",
			"func f() { a = b; a += b; a++; <-c; for a++; b; a++ { go g() } }",
			"func f() { a = b; a += b; a++; <-c; for a--; b; a-- { go g() } }",
		}},
		"select": {"func f() { select { case <-c: g() } }", []string{"func f() { select { case <-c:  } }"}},
		"tagless switch": {"func f() { switch { case a, b == c: g(); default: h() } }", []string{
			"func f() { switch { case !(a), b == c: g(); default: h() } }",
			"func f() { switch { case a, b != c: g(); default: h() } }",
			"func f() { switch { case a, b == c: ; default: h() } }",
			"func f() { switch { case a, b == c: g(); default:  } }",
		}},
		"switch": {"func f() { switch a { case b, c: return d; case e: return g; default: return g } }", []string{
			"func f() { switch a { case b, c: return g; case e: return g; default: return g } }",
			"func f() { switch a { case b, c: return d; case e: return g; default: } }",
		}},
		"switch without default": {"func f() { switch a := g(); a { case b: return c; case d: } }", []string{
			"func f() { switch a := g(); a { case b:; case d: } }",
		}},
		"type switch": {"func f() { switch a.(type) { case b: return c } }", []string{"func f() { switch a.(type) { case b: } }"}},
		"constants": {"func f() any { return red, on, true, other, alone, number, unknown }", []string{
			"func f() any { return green, on, true, other, alone, number, unknown }",
			"func f() any { return red, off, true, other, alone, number, unknown }",
			"func f() any { return red, on, false, other, alone, number, unknown }",
		}},
		"the last constant": {"func f() { return off }", []string{"func f() { return on }"}},
		"constants inside": {"func f() { return T{red: g(green), b: x.red, c: on.red}, func() { h(red) } }", []string{
			"func f() { return T{red: g(red), b: x.red, c: on.red}, func() { h(red) } }",
			"func f() { return T{red: g(green), b: x.red, c: off.red}, func() { h(red) } }",
			"func f() { return T{red: g(green), b: x.red, c: on.red}, func() {  } }",
		}},
		"table": {"var x = []color{red}; var y = red", []string{"var x = []color{green}; var y = red"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mutants, err := read([]string{written(t, test.snippet)})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range mutants {
				source := string(m.mutated())
				if _, err := parser.ParseFile(token.NewFileSet(), "p.go", source, 0); err != nil {
					t.Error(err)
				}
				got = append(got, strings.TrimPrefix(source, enum))
			}
			slices.Sort(got)
			slices.Sort(test.want)
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

// Where a decision is made, and where its words are declared, may be two files.
func TestConstantsOfAnotherFile(t *testing.T) {
	t.Parallel()
	mutants, err := read([]string{written(t, "func f() { return a < b }"), written(t, "func f() { return on }")})
	if err != nil {
		t.Fatal(err)
	}
	if len(mutants) != 2 || mutants[0].what() != "< to <=" || mutants[1].what() != "on to off" {
		t.Errorf("got %v", mutants)
	}
}

func TestEquivalent(t *testing.T) {
	t.Parallel()
	mutants, err := read([]string{written(t, "var x = 1 // mutate:equivalent: nobody looks\nvar y = a &&\n\tb > 2")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range mutants {
		got = append(got, strings.Join([]string{filepath.Base(m.place()), m.what(), m.equivalent}, "|"))
	}
	if want := []string{"p.go:14|1 to 2|nobody looks", "p.go:15|&& to |||", "p.go:16|> to >=|", "p.go:16|2 to 3|"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ snippet, want string }{
		"no Go":             {"func", "p.go:14:"},
		"nothing":           {"var x = y", "nothing to mutate"},
		"no reason":         {"var x = 1 // mutate:equivalent: ", "p.go:14: // mutate:equivalent: : there must be a mutant on the line, and a reason"},
		"nothing to excuse": {"var x = y // mutate:equivalent: so it is\nvar z = 1", "p.go:14: // mutate:equivalent: so it is: there must be a mutant on the line"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := read([]string{written(t, test.snippet)}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := read([]string{"absent.go"}); err == nil || !strings.Contains(err.Error(), "absent.go") {
		t.Errorf("no file: %v", err)
	}
}

// The events are what go test -json writes, less what is not read.
func TestDecode(t *testing.T) {
	t.Parallel()
	const pass, fail = `{"Action":"pass","Test":"TestA"}{"Action":"pass"}`, `{"Action":"fail"}`
	for name, test := range map[string]struct{ events, want string }{
		"all pass":  {pass, "UNNOTICED"},
		"one fails": {pass + `{"Action":"output","Test":"TestB","Output":"wrong"}{"Action":"fail","Test":"TestB"}` + fail, "TestB"},
		"sub-tests": {`{"Action":"fail","Test":"TestB/one"}{"Action":"fail","Test":"TestB/two"}{"Action":"fail","Test":"TestB"}{"Action":"fail","Test":"TestC"}` + fail, "TestB, TestC"},
		"many": {`{"Action":"fail","Test":"T1"}{"Action":"fail","Test":"T2"}{"Action":"fail","Test":"T3"}{"Action":"fail","Test":"T4"}{"Action":"fail","Test":"T5"}` + fail,
			"T1, T2, T3 and 2 more"},
		"the program": {pass + fail, "by the tests' program, in none of them"},
		"timeout":     {`{"Action":"output","Test":"TestA","Output":"panic: test timed out after 2s\n"}{"Action":"fail","Test":"TestA"}` + fail, "by timeout"},
		"build":       {`{"Action":"build-output","Output":"undefined: x"}{"Action":"build-fail"}{"Action":"fail","FailedBuild":"m"}`, "does not compile"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := decode(strings.NewReader(test.events))
			if err != nil || v.String() != test.want {
				t.Errorf("got %v, %v, want %s", v, err, test.want)
			}
		})
	}
	if _, err := decode(strings.NewReader("no event")); err == nil {
		t.Error("no event: no error")
	}
}

// Rows come in the order of the mutants, whatever the order in which these were tested.
func TestReport(t *testing.T) {
	t.Parallel()
	source := []byte("if a < b { f(1) }")
	mutants := []mutant{
		{file: "a.go", line: 9, source: source, start: 3, end: 8, text: "!(a < b)"},
		{file: "a.go", line: 9, source: source, start: 5, end: 6, text: "<="},
		{file: "a.go", line: 10, source: source, start: 11, end: 15},
	}
	var out bytes.Buffer
	r := newReport(&out, mutants)
	r.add(2, verdict{kind: equivalent, reason: "f does nothing"})
	r.add(1, verdict{})
	if out.Len() > 0 {
		t.Errorf("the first row is not there yet: %q", &out)
	}
	r.add(0, verdict{kind: hangs})
	if err := r.sum(); err != errUnnoticed {
		t.Errorf("got %v, want %v", err, errUnnoticed)
	}
	want := `1/3  a.go:9   not a < b     by timeout
2/3  a.go:9   < to <=       UNNOTICED
3/3  a.go:10  without f(1)  equivalent: f does nothing

unnoticed: a.go:9: < to <=
3 mutants: 1 noticed, 1 of them by timeout; 1 unnoticed; 1 equivalent; 0 do not compile
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

// module has a function that is well held by tests, and some that are not.
func module() map[string]string {
	return map[string]string{
		"go.mod": "module m\n\ngo 1.26\n",
		"held.go": `package m

func held(n int) bool {
	return n > 0
}
`,
		"loose.go": `package m

func loose(a, b bool) bool {
	return a && b
}

func same(a bool) bool {
	return a || a // mutate:equivalent: it is the same twice
}

func down(n int) int {
	m := n
	for m > 0 {
		m--
	}
	return m
}
`,
		"m_test.go": `package m

import (
	"os"
	"testing"
)

func TestHeld(t *testing.T) {
	for n, want := range []bool{false, true, true} {
		if held(n) != want {
			t.Error(n)
		}
	}
}

func TestLoose(t *testing.T) {
	if !loose(true, true) || !same(true) {
		t.Error("wrong")
	}
}

func TestDown(t *testing.T) {
	if down(3) != 0 {
		t.Error("wrong")
	}
}

func TestWrong(t *testing.T) {
	if os.Getenv("RAPID_NOFAILFILE") != "true" {
		t.Error("rapid would write into the tree")
	}
}
`,
	}
}

// inModule lets the test stand in the folder of a module until it ends.
func inModule(t *testing.T, files map[string]string) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs the go command a dozen times")
	}
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// program runs the program as its user does, and gives what it prints.
func program(t *testing.T, wantCode int, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if code := run(t.Context(), args, &out, &out); code != wantCode {
		t.Fatalf("%q: exit code %d, want %d:\n%s", args, code, wantCode, &out)
	}
	return out.String()
}

func TestEndToEnd(t *testing.T) {
	files, temporary := module(), t.TempDir()
	inModule(t, files)
	t.Setenv("TMPDIR", temporary)
	_, table, _ := strings.Cut(program(t, 1, "-test", ".", "-timeout", "3s", "held.go", "loose.go"), "\n")
	want := `1/9  held.go:4    > to >=         TestHeld
2/9  held.go:4    0 to 1          TestHeld
3/9  loose.go:4   && to ||        UNNOTICED
4/9  loose.go:8   || to &&        equivalent: it is the same twice
5/9  loose.go:12  without m := n  does not compile
6/9  loose.go:13  > to >=         TestDown
7/9  loose.go:13  0 to 1          TestDown
8/9  loose.go:14  without m--     by timeout
9/9  loose.go:14  -- to ++        by timeout

unnoticed: loose.go:4: && to ||
9 mutants: 6 noticed, 2 of them by timeout; 1 unnoticed; 1 equivalent; 1 do not compile
`
	if table != want {
		t.Errorf("got\n%s\nwant\n%s", table, want)
	}
	for name, text := range files {
		if after, err := os.ReadFile(name); err != nil || string(after) != text {
			t.Errorf("%s was touched: %v\n%s", name, err, after)
		}
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if out := program(t, 0, "-test", ".", "-run", "Held", "-parallel", "1", "held.go"); !strings.Contains(out, "1 tests pass") {
		t.Errorf("held.go alone: %s", out)
	}
}

func TestWhatCannotBeJudged(t *testing.T) {
	files := module()
	files["m_test.go"] = strings.Replace(files["m_test.go"], "TestWrong(t *testing.T) {", `TestWrong(t *testing.T) { t.Error("as ever");`, 1)
	inModule(t, files)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-test", ".", "held.go"}, "the tests of . fail as it is: TestWrong"},
		{[]string{"-test", ".", "-run", "Nothing", "held.go"}, "no test of . runs"},
		{[]string{"-test", "./absent", "held.go"}, "absent"},
		{[]string{"held.go"}, `got -test "", -parallel 2 and 1 files`},
		{[]string{"-test", "."}, `got -test ".", -parallel 2 and 0 files`},
		{[]string{"-test", ".", "-parallel", "0", "held.go"}, "-parallel at least 1"},
		{[]string{"-wrong"}, "flag provided but not defined"},
	} {
		if out := program(t, 2, test.args...); !strings.Contains(out, test.want) {
			t.Errorf("%q: got %q, want %q", test.args, out, test.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := run(ctx, []string{"-test", ".", "held.go"}, io.Discard, io.Discard); code != 2 {
		t.Errorf("interrupted: exit code %d, want 2", code)
	}
}
