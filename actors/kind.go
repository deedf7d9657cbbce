package actors

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/taskrunner-go/taskrunner/store"
)

// DefaultMaxAttempts is how often a task of a kind is tried; with the default Backoff over about six hours.
const DefaultMaxAttempts = 20

// KindSpec is one kind of task: its name and its handler. Make it with [Kind].
type KindSpec struct {
	name     string
	args     reflect.Type
	result   reflect.Type
	handle   func(ctx context.Context, args any) (any, error)
	decode   func(data []byte) (any, error)
	options  options
	policy   policy
	mistakes error
}

// Kinds are the kinds that a runner knows.
type Kinds []KindSpec

// Kind makes a kind of task from a handler. The name is stored with each task and kept for ever; never change it while
// tasks of it are stored. Arguments and results travel as JSON; a runner with a Store refuses a kind
// of which none could.
//
// The handler runs in a goroutine of its own. It may run more than once for one task (at least once), so what it does
// must bear that. It should return soon after ctx ends; context.Cause(ctx) says why. What it returns decides:
//
//   - a value and no error: completed
//   - an error: tried again after a back-off, until no attempt is left, then discarded
//   - messages.RetryAfter, Snooze, Cancel, Discard: what they say
//   - a panic or a runtime.Goexit: as an error
//
// A runner that is InsertOnly needs no handler: nil will do.
//
// Options: WithTimeout, WithMaxAttempts, WithBackoff, WithPriority, WithDecide, WithCheck, WithKey. Mistakes are reported by
// StartTaskRunner.
func Kind[A, R any](name string, handler func(ctx context.Context, args A) (R, error), given ...Option) KindSpec {
	o, err := gather(given, ofKind, fmt.Sprintf("kind %q", name))
	k := KindSpec{name: name, args: reflect.TypeFor[A](), result: reflect.TypeFor[R](), options: o, decode: decodeArgs[A]}
	k.policy = policy{maxAttempts: o.maxAttempts, backoff: o.backoff.withDefaults(), decide: o.decide}
	if k.policy.maxAttempts == 0 {
		k.policy.maxAttempts = DefaultMaxAttempts
	}
	if handler != nil {
		k.handle = func(ctx context.Context, args any) (any, error) {
			typed, _ := args.(A) // it was checked; only a nil of an interface type is no A
			return handler(ctx, typed)
		}
	}
	k.mistakes = errors.Join(err, k.validate())
	return k
}

// Name is the name of the kind.
func (k KindSpec) Name() string { return k.name }

func (k KindSpec) validate() error {
	if err := store.ValidName("Kind", k.name); err != nil {
		return fmt.Errorf("actors: %w", err)
	}
	for _, typed := range k.options.argsTypes {
		if typed.args != k.args {
			return fmt.Errorf("actors: kind %q: %s takes %s, but the handler takes %s", k.name, typed.name, typed.args, k.args)
		}
	}
	return nil
}

func decodeArgs[A any](data []byte) (any, error) {
	var args A
	if err := json.Unmarshal(data, &args); err != nil {
		return nil, fmt.Errorf("want one %T as JSON: %w", args, err)
	}
	return args, nil
}

// accept checks the arguments of a new task and gives them as the handler takes them. Arguments of type json.RawMessage
// are decoded first: they come from those who do not have the type, such as another machine.
func (k *KindSpec) accept(args any) (any, error) {
	if raw, ok := args.(json.RawMessage); ok && k.args != reflect.TypeFor[json.RawMessage]() {
		if len(raw) > store.MaxArgs {
			return nil, fmt.Errorf("%d bytes, want at most %d", len(raw), store.MaxArgs)
		}
		decoded, err := k.decode(raw)
		if err != nil {
			return nil, err
		}
		args = decoded
	}
	if got := reflect.TypeOf(args); got != k.args && k.args.Kind() != reflect.Interface {
		return nil, fmt.Errorf("got %v, want %s", got, k.args)
	}
	if k.options.check != nil {
		if err := k.options.check(args); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// encode gives the arguments as they are recorded.
func (k *KindSpec) encode(args any) ([]byte, error) {
	data, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	if len(data) > store.MaxArgs {
		return nil, fmt.Errorf("%d bytes as JSON, want at most %d", len(data), store.MaxArgs)
	}
	if hasReplaced(data) {
		return nil, errors.New("a string in them is not valid UTF-8")
	}
	return data, nil
}

// hasReplaced reports whether encoding/json had to replace bytes that are no UTF-8: that it writes as an escape, and the same
// character where it was given as itself. A second attempt would else get other arguments than the first.
func hasReplaced(data []byte) bool {
	const escape = `\ufffd`
	for i := 0; ; {
		at := bytes.Index(data[i:], []byte(escape))
		if at < 0 {
			return false
		}
		at += i
		before := len(data[:at]) - len(bytes.TrimRight(data[:at], `\`))
		if before%2 == 0 { // else the backslash is itself escaped
			return true
		}
		i = at + len(escape)
	}
}

// recordable reports why no task of the kind could be recorded. It asks encoding/json for the zero value, which has the fields that
// every value has: what is behind a pointer, in a slice or in an interface may be left out of a task, and is not known before.
func (k *KindSpec) recordable() error {
	for _, part := range []struct {
		what string
		is   reflect.Type
	}{{"arguments", k.args}, {"result", k.result}} {
		if err := neverJSON(part.is); err != nil {
			return fmt.Errorf("actors: kind %q: the type of its %s is %s, want one that can be recorded as JSON: %w", k.name, part.what, part.is, err)
		}
	}
	return nil
}

// neverJSON passes over what a MarshalJSON of the user's says of the zero value, or does.
func neverJSON(t reflect.Type) (err error) {
	defer func() {
		if recover() != nil {
			err = nil
		}
	}()
	_, err = json.Marshal(reflect.Zero(t).Interface())
	if _, never := err.(*json.UnsupportedTypeError); never { //nolint:errorlint // in another error it is the user's
		return err
	}
	return nil
}

func (k *KindSpec) key(args any) string {
	if k.options.key == nil {
		return ""
	}
	return k.options.key(args)
}

func (ks Kinds) index(insertOnly bool) (map[string]*KindSpec, error) {
	index := make(map[string]*KindSpec, len(ks))
	for i := range ks {
		k := &ks[i]
		if k.mistakes != nil {
			return nil, k.mistakes
		}
		switch {
		case k.name == "":
			return nil, fmt.Errorf("actors: Kinds[%d] is empty, want one made with Kind", i)
		case k.handle == nil && !insertOnly:
			return nil, fmt.Errorf("actors: kind %q: handler is nil, want a function", k.name)
		}
		if index[k.name] != nil {
			return nil, fmt.Errorf("actors: Kinds[%d]: kind %q is there twice", i, k.name)
		}
		index[k.name] = k
	}
	return index, nil
}
