package process_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// inside holds one value in a field that all see, and one in a field that nobody does.
type inside struct {
	Shown  any
	hidden any
}

// gives is a slog.LogValuer that gives what it is told.
type gives struct{ value slog.Value }

func (g gives) LogValue() slog.Value { return g.value }

// password hides itself, in a struct.
type password struct{ Text string }

func (password) LogValue() slog.Value { return slog.StringValue("(hidden)") }

func TestRenderHides(t *testing.T) {
	run := messages.Run{TaskID: "0198", Kind: "mail", Args: []byte("hunter2")}
	const shown = "[task=0198 kind=mail args_bytes=7]"
	type typed struct {
		Run *messages.Run
		run messages.Run
	}
	for name, c := range map[string]struct {
		v    any
		want string
	}{
		"a run":                         {run, shown},
		"a pointer":                     {&run, shown},
		"no run":                        {(*messages.Run)(nil), "<nil>"},
		"in a field":                    {inside{Shown: run}, "{Shown:" + shown + " hidden:<nil>}"},
		"a pointer in a field":          {inside{Shown: &run}, "{Shown:" + shown + " hidden:<nil>}"},
		"in a field of its type":        {typed{&run, run}, "{Run:" + shown + " run:(a messages.Run)}"},
		"no run in a field":             {typed{}, "{Run:<nil> run:(a messages.Run)}"},
		"in a field that is unexported": {&inside{hidden: run}, "&{Shown:<nil> hidden:(a messages.Run)}"},
		"a pointer there":               {inside{hidden: &run}, "{Shown:<nil> hidden:(a *messages.Run)}"},
		"no run there":                  {inside{hidden: (*messages.Run)(nil)}, "{Shown:<nil> hidden:<nil>}"},
		"in a slice":                    {[]messages.Run{run, run}, "[" + shown + " " + shown + "]"},
		"in a pointer to a slice":       {&[]*messages.Run{&run}, "&[" + shown + "]"},
		"in an array there":             {inside{hidden: [1]any{run}}, "{Shown:<nil> hidden:[(a messages.Run)]}"},
		"in a map":                      {map[string]any{"b": run, "a": 1}, "map[a:1 b:" + shown + "]"},
		"in a map there":                {inside{hidden: map[int]*messages.Run{1: &run}}, "{Shown:<nil> hidden:map[1:(a *messages.Run)]}"},
		"a key":                         {map[any]int{password{"hunter2"}: 1}, "map[(hidden):1]"},
		"in a group":                    {gives{slog.GroupValue(slog.Any("run", &run), slog.Int("n", 1))}, "[run=" + shown + " n=1]"},
		"in what another gives":         {gives{slog.AnyValue(&inside{Shown: gives{slog.AnyValue(run)}})}, "&{Shown:" + shown + " hidden:<nil>}"},
		"a pointer in a group":          {[]any{gives{slog.GroupValue(slog.Any("p", &run.Args))}}, fmt.Sprintf("[[p=%p]]", &run.Args)},
		"for ever":                      {inside{Shown: itself{}}, "{Shown:" + strings.Repeat("[", 100) + "…" + strings.Repeat("]", 100) + " hidden:<nil>}"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := process.Render(c.v); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

// itself gives itself, in a slice.
type itself struct{}

func (itself) LogValue() slog.Value { return slog.AnyValue([]any{itself{}}) }

func TestRenderPrintsAllElseAsFmtDoes(t *testing.T) {
	type named struct {
		Time  time.Time
		Err   error
		Bytes []byte
		m     map[string]bool
		pid   messages.PID
		any   any
		next  *named
		f     func()
	}
	n := 7
	for name, v := range map[string]any{
		"nil": nil, "a number": 1.5, "a text": "two words", "bytes": []byte("abc"), "an error": errors.New("boom"), "a Stringer": time.Second,
		"a struct": named{Err: errors.New("boom"), Bytes: []byte{1}, m: map[string]bool{"b": true, "a": false}, any: time.Second, pid: messages.PID{ID: 1}, f: panics}, "an empty one": &named{},
		"nested":         []named{{any: []any{1, "x", nil}, next: &named{}}},
		"no map":         map[int]int(nil),
		"a map":          &map[string][]int{"x": {1, 2}, "a": nil},
		"a NaN":          map[float64]string{math.NaN(): "x"},
		"pointers below": []any{map[*named]*named{{}: {}}, &map[int]int{1: 2}}, "a pointer to pointers": &[]*named{{}},
		"pointer": &n, "nil pointer": (*named)(nil), "to a pointer": []any{&n, &named{}}, "an array": [2]any{1i, struct{}{}},
		"Error panics": &nasty{onError: panics}, "a PID": inside{messages.PID{Node: "n", ID: 1}, messages.PID{Node: "n", ID: 1}},
		"a channel": make(chan int), "a func": panics,
	} {
		t.Run(name, func(t *testing.T) {
			if got, want := process.Render(v), fmt.Sprintf("%+v", v); got != want {
				t.Errorf("%s\nwant %s", got, want)
			}
		})
	}
}

func TestRenderEnds(t *testing.T) {
	slice := []any{nil, nil}
	slice[0], slice[1] = slice, slice
	self := map[string]any{}
	self["a"], self["b"] = self, self
	for name, c := range map[string]struct {
		v      any
		begins string
	}{
		"a slice in itself": {slice, "[[["}, "a map in itself": {self, "map[a:map[a:"},
		"a large slice": {make([]int, 1<<20), "[0 0 0 "}, "large ones in a map": {map[string]any{"x": make([]int, 1<<20)}, "map[x:[0 0 0 "},
	} {
		t.Run(name, func(t *testing.T) {
			got := process.Render(c.v)
			if !strings.HasPrefix(got, c.begins) || !strings.HasSuffix(got, "…") || len(got) > 2<<10+len("…") {
				t.Errorf("%d bytes: %s", len(got), got)
			}
		})
	}
}
