package messages_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/taskrunner-go/taskrunner/messages"
)

type isPanics struct{}

func (isPanics) Error() string   { return "Is panics" }
func (isPanics) Is(error) bool   { panic("Is") }
func (isPanics) Unwrap() []error { return []error{nil, io.EOF} }

type unwrapPanics struct{}

func (unwrapPanics) Error() string { return "Unwrap panics" }
func (unwrapPanics) Unwrap() error { panic("Unwrap") }

type wrapsItself struct{}

func (wrapsItself) Error() string { return "wraps itself" }
func (wrapsItself) Unwrap() error { return wrapsItself{} }

type wrapsItselfTwice struct{}

func (wrapsItselfTwice) Error() string   { return "wraps itself twice" }
func (wrapsItselfTwice) Unwrap() []error { return []error{wrapsItselfTwice{}, wrapsItselfTwice{}} }

// list cannot be compared with ==.
type list []string

func (l list) Error() string        { return fmt.Sprint([]string(l)) }
func (l list) Is(target error) bool { return target == io.EOF || fmt.Sprint(target) == l.Error() }

func wrapped(times int, err error) error {
	for range times {
		err = fmt.Errorf("once more: %w", err)
	}
	return err
}

func TestIs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err, target error
		want        bool
	}{
		"nil and nil":             {nil, nil, true},
		"nil":                     {nil, io.EOF, false},
		"no target":               {io.EOF, nil, false},
		"itself":                  {io.EOF, io.EOF, true},
		"another":                 {io.ErrClosedPipe, io.EOF, false},
		"wrapped":                 {wrapped(10, io.EOF), io.EOF, true},
		"joined":                  {errors.Join(io.ErrClosedPipe, wrapped(1, io.EOF)), io.EOF, true},
		"by its Is":               {wrapped(1, &messages.ShutdownWith{Value: 1}), messages.Shutdown, true},
		"cannot be compared":      {list{"a"}, list{"b"}, false},
		"is like, by its Is":      {list{"a"}, list{"a"}, true},
		"beside an Is that fails": {isPanics{}, io.EOF, true},
		"Is panics":               {isPanics{}, io.ErrClosedPipe, false},
		"Unwrap panics":           {errors.Join(unwrapPanics{}, io.EOF), io.EOF, true},
		"wraps itself":            {wrapsItself{}, io.EOF, false},
		"beside one that does":    {errors.Join(wrapsItself{}, io.EOF), io.EOF, true},
		"wraps itself twice":      {wrapsItselfTwice{}, io.EOF, false},
		"too far down":            {wrapped(100, io.EOF), io.EOF, false},
		"a nil pointer":           {(*messages.Decision)(nil), io.EOF, false},
		"in a panic":              {&messages.PanicError{Value: io.EOF}, io.EOF, false},
		"beside a panic":          {errors.Join(&messages.PanicError{Value: 1}, context.Canceled), context.Canceled, true},
	} {
		if got := messages.Is(c.err, c.target); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestAPanicIsNeverClean(t *testing.T) {
	t.Parallel()
	panicked := &messages.PanicError{Value: fmt.Errorf("x: %w", messages.Normal)}
	for name, reason := range map[string]error{
		"itself":            panicked,
		"wrapped":           fmt.Errorf("x: %w", panicked),
		"beside a shutdown": errors.Join(messages.Shutdown, panicked),
		"a nil pointer":     (*messages.PanicError)(nil),
	} {
		if messages.IsClean(reason) {
			t.Errorf("%s is clean", name)
		}
	}
	if !messages.IsClean(errors.Join(isPanics{}, messages.Normal)) {
		t.Error("an Is that panics hides what stands beside it")
	}
}
