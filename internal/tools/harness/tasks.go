package harness

import (
	"context"
	"fmt"

	"github.com/taskrunner-go/taskrunner/store"
)

// ReadAll gives all outcomes of a store in their order, and all tasks.
func ReadAll(ctx context.Context, s store.Reader) (log, tasks []store.Task, err error) {
	if log, err = readLog(ctx, s); err == nil {
		tasks, err = readTasks(ctx, s)
	}
	return log, tasks, err
}

func readLog(ctx context.Context, s store.Reader) (log []store.Task, err error) {
	for after := store.FromOldest; ; {
		page, err := s.Outcomes(ctx, store.OutcomeQuery{After: after, Limit: store.MaxList})
		if err != nil {
			return nil, fmt.Errorf("harness: read the outcomes: %w", err)
		}
		if page.Next == after {
			return log, nil
		}
		log, after = append(log, page.Tasks...), page.Next
	}
}

func readTasks(ctx context.Context, s store.Reader) (tasks []store.Task, err error) {
	for query := (store.Query{Limit: store.MaxList}); ; query.After = tasks[len(tasks)-1].Place() {
		page, err := s.List(ctx, query)
		if err != nil {
			return nil, fmt.Errorf("harness: list the tasks: %w", err)
		}
		tasks = append(tasks, page...)
		if len(page) < query.Limit {
			return tasks, nil
		}
	}
}
