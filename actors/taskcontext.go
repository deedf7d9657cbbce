package actors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// CurrentTask gives the task that the handler with this context runs: its id, kind, run number and attempt. Outside of a
// handler it gives false.
func CurrentTask(ctx context.Context) (messages.TaskRef, bool) {
	if c := taskOf(ctx); c != nil {
		return c.run.task, true
	}
	return messages.TaskRef{}, false
}

// Logger gives the runner's logger with the task's id, kind and attempt. Outside of a handler it logs nothing.
func Logger(ctx context.Context) *slog.Logger {
	c := taskOf(ctx)
	if c == nil {
		return slog.New(slog.DiscardHandler)
	}
	t := c.run.task
	return c.runner.config.Logger.With("runner", t.Runner, "task", t.TaskID, "kind", t.Kind, "attempt", t.Attempt)
}

// ReportProgress says how far the task has come, from 0 to 1; what is outside is taken for the nearer end. It is cheap:
// of many reports the last one of each ProgressInterval is recorded. Outside of a handler it does nothing.
func ReportProgress(ctx context.Context, fraction float64) {
	c := taskOf(ctx)
	if c == nil || fraction != fraction {
		return
	}
	c.run.setProgress(min(max(fraction, 0), 1))
	if c.run.durable {
		c.runner.reporter.note(c.run)
	}
}

// Previous gives the result of the last completed task of the same kind and the same key ([WithKey]); false if there is
// none, or the kind has no keys, or the runner has no store.
func Previous[R any](ctx context.Context) (R, bool, error) {
	var result R
	c := taskOf(ctx)
	if c == nil || c.runner.config.Store == nil || c.run.kind == nil {
		return result, false, nil
	}
	key, err := c.key()
	if key == "" || err != nil {
		return result, false, err
	}
	if c.run.last != nil { // it completed before, and was asked to run again: this is what that brought
		return decodePrevious[R](c.run.last)
	}
	last, err := c.runner.config.Store.Last(ctx, c.run.task.Kind, key)
	if errors.Is(err, store.ErrNotFound) {
		return result, false, nil
	}
	if err != nil {
		return result, false, fmt.Errorf("actors: look up the previous result: %w", err)
	}
	return decodePrevious[R](last.Result)
}

func decodePrevious[R any](data []byte) (R, bool, error) {
	var result R
	if err := json.Unmarshal(data, &result); err != nil {
		return result, false, fmt.Errorf("actors: decode the previous result: %w", err)
	}
	return result, true, nil
}

func (c *taskContext) key() (string, error) {
	args := c.run.args
	if args == nil {
		decoded, err := c.run.kind.decode(c.run.encoded)
		if err != nil {
			return "", err
		}
		args = decoded
	}
	return c.run.kind.key(args), nil
}
