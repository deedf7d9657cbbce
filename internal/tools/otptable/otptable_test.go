package main

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// small is a spec that three tests fill.
func small() spec {
	return spec{
		groups: []group{{"GS", "GenServer", 3}, {"SV", "Supervisor", 1}},
		absent: []absence{{"GS-02", "a thrown value counts.", "Go has no throw."}},
	}
}

// module has the files that fill small, and those that must not be read.
func module() fstest.MapFS {
	return fstest.MapFS{
		"go.mod": file("module m"),
		"actors/server_test.go": file(`package actors
// TestGS01_Start: a start returns when init has. Its name,
// [Server] | *x*, has come through whole.
func TestGS01_Start(t *testing.T) {}
// TestGS03_Order: first come,
// first served.
//
// Adapted: with P_1 <and> P_2
// in between.
//
//nolint:paralleltest // a directive is no comment
func TestGS03_Order(t *testing.T) {}
func TestGSomething(t *testing.T) {}
func (x) TestGS99(t *testing.T) {}
`),
		"root_test.go": file(`package m
// TestSV01_Counter: one counter for all.
func TestSV01_Counter(t *testing.T) {}`),
		"actors/server.go":               file("package actors\nfunc TestGS01_Again() {}"),
		"testdata/a_test.go":             file("no Go"),
		"_old/a_test.go":                 file("no Go"),
		".git/a_test.go":                 file("no Go"),
		"bench/go.mod":                   file("module other"),
		"bench/deep/a_test.go":           file("no Go"),
		"actors/testdata/deep/a_test.go": file("no Go"),
	}
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func TestCollect(t *testing.T) {
	t.Parallel()
	tests, err := collect(module(), small())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]behaviour{
		"GS-01": {"GS-01", "a start returns when init has. Its name, [Server] | *x*, has come through whole.", "", "TestGS01_Start", "actors/server_test.go", 4},
		"GS-03": {"GS-03", "first come, first served.", "with P_1 <and> P_2 in between.", "TestGS03_Order", "actors/server_test.go", 12},
		"SV-01": {"SV-01", "one counter for all.", "", "TestSV01_Counter", "root_test.go", 3},
	}
	if !maps.Equal(tests, want) {
		t.Errorf("got  %v\nwant %v", tests, want)
	}
}

// What is wrong stands in a file of its own beside those that are right.
func TestCollectProblems(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ source, want string }{
		"no Go":           {"package p\nfunc (", "p_test.go:2:"},
		"no comment":      {"package p\nfunc TestGS01_X() {}", "p_test.go:2: TestGS01_X: it has no comment"},
		"detached":        {"package p\n// TestGS01_X: it is so.\n\nfunc TestGS01_X() {}", "p_test.go:4: TestGS01_X: it has no comment"},
		"wrong name":      {"package p\n// TestGS01_Y: it is so.\nfunc TestGS01_X() {}", `p_test.go:3: TestGS01_X: the comment must begin with "TestGS01_X: "`},
		"no colon":        {"package p\n// TestGS01_X is so.\nfunc TestGS01_X() {}", `must begin with "TestGS01_X: "`},
		"empty":           {"package p\n// TestGS01_X:\nfunc TestGS01_X() {}", `must begin with "TestGS01_X: "`},
		"no full stop":    {"package p\n// TestGS01_X: it is so\nfunc TestGS01_X() {}", "the comment's first paragraph must be a sentence"},
		"other paragraph": {"package p\n// TestGS01_X: it is so.\n//\n// adapted: not so.\nfunc TestGS01_X() {}", `second paragraph must begin with "Adapted: "`},
		"cut short":       {"package p\n// TestGS01_X: it is so.\n//\n// Adapted: not\nfunc TestGS01_X() {}", "second paragraph must end with a full stop"},
		"three":           {"package p\n// TestGS01_X: it is so.\n//\n// Adapted: not so.\n//\n// More.\nfunc TestGS01_X() {}", "the comment has 3 paragraphs"},
		"one digit":       {"package p\n// TestGS1_X: it is so.\nfunc TestGS1_X() {}", "p_test.go:3: TestGS1_X: the name must be the id's two digits"},
		"three digits":    {"package p\n// TestGS001_X: it is so.\nfunc TestGS001_X() {}", "the name must be the id's two digits"},
		"no name":         {"package p\n// TestGS01: it is so.\nfunc TestGS01() {}", "an underscore and a capitalised name"},
		"small name":      {"package p\n// TestGS01_x: it is so.\nfunc TestGS01_x() {}", "an underscore and a capitalised name"},
		"zero":            {"package p\n// TestGS00_X: it is so.\nfunc TestGS00_X() {}", "p_test.go:3: TestGS00_X: there is no GS-00; they go from GS-01 to GS-03"},
		"out of range":    {"package p\n// TestSV02_X: it is so.\nfunc TestSV02_X() {}", "p_test.go:3: TestSV02_X: there is no SV-02"},
		"absent":          {"package p\n// TestGS02_X: it is so.\nfunc TestGS02_X() {}", "p_test.go:3: TestGS02_X: GS-02 has no Go counterpart: Go has no throw."},
		"twice":           {"package p\n// TestGS01_X: it is so.\nfunc TestGS01_X() {}", "p_test.go:3: TestGS01_X: GS-01 has a test already, TestGS01_Start in actors/server_test.go:4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := module()
			files["p_test.go"] = file(test.source)
			if name != "twice" && strings.Contains(test.source, "TestGS01_X()") { // so that it is the only one
				files["actors/server_test.go"] = file(strings.Replace(string(files["actors/server_test.go"].Data), "func TestGS01_Start", "func testGS01", 1))
			}
			_, err := collect(files, small())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if complaints := strings.Count(err.Error(), "\n") + 1; complaints != 1 && name != "no Go" {
				t.Errorf("%d complaints about one mistake:\n%v", complaints, err)
			}
		})
	}
}

func TestAllProblemsAreReported(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"a_test.go": file("package p\nfunc TestSV01_A() {}\n// TestSV01_B: it is so.\nfunc TestSV01_B() {}"),
		"b_test.go": file("package p\nfunc TestGS2_B() {}\n// TestGS01_B: it is so.\nfunc TestGS01_B() {}"),
	}
	_, err := collect(files, small())
	want := strings.Join([]string{
		"a_test.go:2: TestSV01_A: it has no comment",
		"a_test.go:4: TestSV01_B: SV-01 has a test already, TestSV01_A in a_test.go:2",
		"b_test.go:2: TestGS2_B: the name must be the id's two digits, an underscore and a capitalised name",
		"GenServer: no test for GS-03",
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// unreadable is a module on a disk that fails.
type unreadable struct{ fstest.MapFS }

func (unreadable) ReadDir(string) ([]fs.DirEntry, error) { return nil, errors.New("the disk is gone") }

func TestCollectWithoutADisk(t *testing.T) {
	t.Parallel()
	if _, err := collect(unreadable{module()}, spec{}); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("got %v", err)
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	tests, err := collect(module(), small())
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/otp.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got := render(small(), tests); !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if all := render(spec{groups: small().groups}, tests); bytes.Contains(all, []byte("Without a Go counterpart")) {
		t.Errorf("a section about nothing:\n%s", all)
	}
}

func TestEscape(t *testing.T) {
	t.Parallel()
	got := escape("a|b `c` *d* _e_ [f](g) <h> &amp; ~~i~~ \\ {j} #")
	if want := "a\\|b \\`c\\` \\*d\\* \\_e\\_ \\[f\\](g) \\<h\\> \\&amp; \\~\\~i\\~\\~ \\\\ \\{j\\} \\#"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.CopyFS(root, module()); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(root, output)
	var before []byte
	for range 2 { // the second time the file is there
		if code := run(root, small(), os.Stderr); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		after, err := os.ReadFile(name)
		if err != nil || len(after) == 0 || before != nil && !bytes.Equal(before, after) {
			t.Fatalf("%v; before\n%s\nafter\n%s", err, before, after)
		}
		before = after
	}

	var complaint bytes.Buffer
	if code := run(root, otp(), &complaint); code != 1 || !strings.Contains(complaint.String(), "no test for GS-02, GS-04") {
		t.Errorf("an incomplete module: exit code %d, %q", code, &complaint)
	}
	if after, err := os.ReadFile(name); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a table was written of an incomplete module: %v\n%s", err, after)
	}
	if err := write(t.TempDir(), spec{}); err == nil || !strings.Contains(err.Error(), "module's root") {
		t.Errorf("outside a module: %v", err)
	}
}

func TestOTP(t *testing.T) {
	t.Parallel()
	s := otp()
	if s.tested() != 177 {
		t.Errorf("%d behaviours need a test, want 177", s.tested())
	}
	if want := "Test(GS|TK|AS|TS|DS|SV|RG|PS|SH)[0-9][0-9]"; s.pattern() != want {
		t.Errorf("pattern %q, want %q", s.pattern(), want)
	}
	var ids []string
	for _, g := range s.groups {
		ids = append(ids, g.ids()...)
	}
	for _, a := range s.absent {
		if !slices.Contains(ids, a.id) {
			t.Errorf("%s is absent, and in no group", a.id)
		}
	}
}

// A test that the pattern of go test -run leaves out must not get into the table.
func TestWhatTheTableTakesIsRun(t *testing.T) {
	t.Parallel()
	runs := regexp.MustCompile(otp().pattern())
	for _, g := range otp().groups {
		for _, id := range g.ids() {
			if name := "Test" + strings.Replace(id, "-", "", 1) + "_X"; !runs.MatchString(name) || !otp().names().MatchString(name) {
				t.Errorf("%s is not run, or not read", name)
			}
		}
	}
}
