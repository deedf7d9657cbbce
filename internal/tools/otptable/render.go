package main

import (
	"bytes"
	"fmt"
	"path"
	"strings"
)

// render writes the table as Markdown. The columns are not padded, so that a longer sentence changes its own line only.
func render(s spec, tests map[string]behaviour) []byte {
	var out bytes.Buffer
	introduction(&out, s)
	for _, g := range s.groups {
		fmt.Fprintf(&out, "\n## %s\n\n| id | behaviour | where Go differs | test |\n| --- | --- | --- | --- |\n", escape(g.title))
		for _, id := range g.ids() {
			if b, ok := tests[id]; ok {
				row(&out, id, escape(b.sentence), escape(b.adapted), link(b))
			}
		}
	}
	if len(s.absent) > 0 {
		fmt.Fprint(&out, "\n## Without a Go counterpart\n\n| id | behaviour | why not |\n| --- | --- | --- |\n")
		for _, a := range s.absent {
			row(&out, a.id, escape(a.behaviour), escape(a.why))
		}
	}
	return out.Bytes()
}

func introduction(out *bytes.Buffer, s spec) {
	fmt.Fprintf(out, `# The behaviours of OTP

<!-- Written by make otp-table from the comments of the tests. Change those. -->

Each id stands for one behaviour of OTP, gathered from the documentation, the code and the tests of Elixir and Erlang.
For each of these %d there is one test, which is named by the id and fails when the behaviour is broken. Where Go differs,
the table says how; where it says nothing, what can be observed is the same. This runs all of them:

`+"```sh\ngo test -run '%s' ./...\n```\n", s.tested(), s.pattern())
}

func row(out *bytes.Buffer, cells ...string) {
	for _, cell := range cells {
		out.WriteString("| ")
		if cell != "" {
			out.WriteString(cell + " ")
		}
	}
	out.WriteString("|\n")
}

// link leads to the test's file and not to its line, which moves whenever something above it changes.
func link(b behaviour) string {
	up := strings.Repeat("../", strings.Count(path.Clean(output), "/"))
	return fmt.Sprintf("[`%s`](%s%s)", b.test, up, b.file)
}

// escape lets nothing in a text count as Markdown or HTML, and nothing end its cell.
func escape(text string) string {
	var out strings.Builder
	for _, r := range text {
		if strings.ContainsRune("\\`*_{}[]<>&|~#", r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}
