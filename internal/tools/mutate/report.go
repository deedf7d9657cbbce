package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// String says in a few words what became of the mutant.
func (v verdict) String() string {
	const most = 3 // names that fit into a row
	switch n := len(v.failed); {
	case v.kind == unnoticed:
		return "UNNOTICED"
	case v.kind == hangs:
		return "by timeout"
	case v.kind == broken:
		return "does not compile"
	case v.kind == equivalent:
		return "equivalent: " + v.reason
	case n == 0:
		return "by the tests' program, in none of them" // by goleak in TestMain, for example
	case n > most:
		return fmt.Sprintf("%s and %d more", strings.Join(v.failed[:most], ", "), n-most)
	default:
		return strings.Join(v.failed, ", ")
	}
}

// place names a mutant's line.
func (m mutant) place() string { return fmt.Sprintf("%s:%d", m.file, m.line) }

// what says what was changed.
func (m mutant) what() string {
	before, after := oneLine(string(m.source[m.start:m.end])), oneLine(m.text)
	switch {
	case after == "":
		return "without " + before
	case strings.HasPrefix(after, "!("):
		return "not " + before
	default:
		return before + " to " + after
	}
}

// oneLine gives the beginning of a piece of code.
func oneLine(code string) string {
	const most = 40
	text := []rune(strings.Join(strings.Fields(code), " "))
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}

// report prints the table while the mutants are tested: each row as soon as those above it are there. Any goroutine may
// call add.
type report struct {
	out     io.Writer
	mutants []mutant
	places  int // the width of a column
	changes int // the width of a column

	mu       sync.Mutex
	verdicts []*verdict // by mutant, nil until it is known
	printed  int
}

func newReport(out io.Writer, mutants []mutant) *report {
	r := &report{out: out, mutants: mutants, verdicts: make([]*verdict, len(mutants))}
	for _, m := range mutants {
		r.places, r.changes = max(r.places, len(m.place())), max(r.changes, len([]rune(m.what())))
	}
	return r
}

func (r *report) add(i int, v verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdicts[i] = &v
	for ; r.printed < len(r.mutants) && r.verdicts[r.printed] != nil; r.printed++ {
		m, n := r.mutants[r.printed], len(r.mutants)
		_, _ = fmt.Fprintf(r.out, "%*d/%d  %-*s  %-*s  %v\n", len(fmt.Sprint(n)), r.printed+1, n,
			r.places, m.place(), r.changes, m.what(), r.verdicts[r.printed])
	}
}

// sum prints how many mutants became what, and names the unnoticed again. All verdicts are in.
func (r *report) sum() error {
	counts := map[kind]int{}
	_, _ = fmt.Fprintln(r.out)
	for i, v := range r.verdicts {
		counts[v.kind]++
		if v.kind == unnoticed {
			_, _ = fmt.Fprintf(r.out, "unnoticed: %s: %s\n", r.mutants[i].place(), r.mutants[i].what())
		}
	}
	_, _ = fmt.Fprintf(r.out, "%d mutants: %d noticed, %d of them by timeout; %d unnoticed; %d equivalent; %d do not compile\n",
		len(r.mutants), counts[noticed]+counts[hangs], counts[hangs], counts[unnoticed], counts[equivalent], counts[broken])
	if counts[unnoticed] > 0 {
		return errUnnoticed
	}
	return nil
}
