package actors_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/store"
)

// What can be recorded, and what cannot.
type (
	withChan struct{ Done chan int }
	withFunc struct{ Steps [2]struct{ Do func() } }
	badKey   struct{ By map[[1]int]string }
	hidden   struct{ done chan int }
	skipped  struct {
		Done chan int `json:"-"`
	}
	tree struct {
		Left, Right *tree
		All         []tree
		Perhaps     *withChan
		Any         any
		Some        []func()
	}
	ownJSON  struct{ Done chan int }
	ownText  struct{ Do func() }
	panicky  struct{ Name string }
	wrapping struct{ Name string }
)

func (ownJSON) MarshalJSON() ([]byte, error)  { return []byte("1"), nil }
func (ownText) MarshalText() ([]byte, error)  { return []byte("x"), nil }
func (panicky) MarshalJSON() ([]byte, error)  { panic("the zero value") }
func (wrapping) MarshalJSON() ([]byte, error) { return nil, &json.UnsupportedTypeError{} }

func taking[A any]() actors.KindSpec {
	return actors.Kind("it", func(context.Context, A) (int, error) { return 0, nil })
}

func giving[R any]() actors.KindSpec {
	return actors.Kind("it", func(context.Context, int) (r R, err error) { return r, errors.New("not called") })
}

func TestKindsThatCannotBeRecorded(t *testing.T) {
	for name, c := range map[string]struct {
		kind actors.KindSpec
		want string // empty: it can be
	}{
		"chan":               {taking[chan int](), `kind "it": the type of its arguments is chan int`},
		"func":               {giving[func()](), `kind "it": the type of its result is func()`},
		"complex":            {giving[complex128](), "complex128"},
		"a field":            {taking[withChan](), "actors_test.withChan"},
		"deep in the result": {giving[withFunc](), "json: unsupported type: func()"},
		"key of a map":       {taking[badKey](), "map[[1]int]string"},
		"unexported":         {taking[hidden](), ""},
		"left out":           {taking[skipped](), ""},
		"recursive":          {giving[tree](), ""},
		"own JSON":           {taking[ownJSON](), ""},
		"own text":           {giving[ownText](), ""},
		"panics":             {taking[panicky](), ""},
		"wraps":              {taking[wrapping](), ""},
		"interface":          {giving[any](), ""},
		"perhaps nil":        {giving[*withChan](), ""},
	} {
		config := actors.TaskRunnerConfig{Name: "r", Kinds: actors.Kinds{c.kind}}
		for _, db := range []store.Store{nil, store.NewMemory()} {
			config.Store = db
			r, err := actors.StartTaskRunner(t.Context(), config)
			if wanted := c.want != "" && db != nil; wanted != (err != nil) || wanted && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, with a store %v: %v, want %q", name, db != nil, err, c.want)
			}
			if err == nil {
				stop(t, r)
			}
		}
	}
	_ = hidden{}.done
}
