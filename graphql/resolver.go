package graphql

import (
	"context"
	"errors"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/graphql/internal/gen"
	"github.com/taskrunner-go/taskrunner/store"
)

// resolvers answer the fields at the top of an operation. All else is in what they give, so that no field of a task asks
// the store again.
type resolvers struct {
	config  Config
	runners map[string]*actors.TaskRunner
	view    view
}

// newResolvers finds the runners by their names.
func newResolvers(config Config) *resolvers {
	r := &resolvers{
		config: config, runners: make(map[string]*actors.TaskRunner, len(config.Runners)),
		view: view{hidden: config.HideArgs, stacks: config.ShowStacks},
	}
	for _, runner := range config.Runners {
		r.runners[runner.Name()] = runner
	}
	return r
}

// Query is for gqlgen.
func (r *resolvers) Query() gen.QueryResolver { return queries{r} }

// Mutation is for gqlgen.
func (r *resolvers) Mutation() gen.MutationResolver { return mutations{r} }

// queries only look.
type queries struct{ *resolvers }

// Task gives the task with this id, nil if there is none.
func (q queries) Task(ctx context.Context, id string) (*gen.Task, error) {
	task, err := q.find(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return q.shown(task, err)
}

// find looks a task up. Ids are checked here, so that no store has to say what is wrong with them.
func (r *resolvers) find(ctx context.Context, id string) (store.Task, error) {
	if store.ValidID("id", id) != nil {
		return store.Task{}, badInput("id is %s, want a UUID of 36 characters in lower case", shown(id))
	}
	return r.config.Tasks.Get(ctx, id)
}

// shown passes on what a store or a runner has answered.
func (r *resolvers) shown(task store.Task, err error) (*gen.Task, error) {
	if err != nil {
		return nil, err
	}
	shown := r.view.task(task)
	return &shown, nil
}

// defaultFirst is how many tasks a page has if the caller gives null; the schema has the same for who says nothing.
const defaultFirst = 50

// Tasks gives one page.
func (q queries) Tasks(ctx context.Context, states []gen.TaskState, kind *string, first *int, after *string) (*gen.TaskConnection, error) {
	size, err := q.pageSize(first)
	if err != nil {
		return nil, err
	}
	query, err := taskQuery(states, kind, after)
	if err != nil {
		return nil, err
	}
	query.Limit = size + 1 // one more tells whether there is a next page
	tasks, err := q.config.Tasks.List(ctx, query)
	if err != nil {
		return nil, err
	}
	page := q.view.pageOf(tasks, size, after != nil)
	return &page, nil
}

// taskQuery checks the arguments of tasks and says them to the store.
func taskQuery(states []gen.TaskState, kind, after *string) (query store.Query, err error) {
	for _, state := range states {
		query.States = append(query.States, storeState(state))
	}
	if kind != nil {
		if store.ValidName("kind", *kind) != nil { // an empty one would select all
			return query, badInput("kind is %s, want 1 to %d bytes without control characters", shown(*kind), store.MaxName)
		}
		query.Kind = *kind
	}
	if after != nil {
		var ok bool
		if query.After, ok = decodeCursor(*after); !ok {
			return query, badInput("after is %s, want a cursor that this service has given", shown(*after))
		}
	}
	return query, nil
}

// pageSize refuses rather than corrects: who asks for 1,000 and gets 100 would take them for all.
func (q queries) pageSize(first *int) (int, error) {
	most := q.config.Limits.MaxFirst
	switch {
	case first == nil:
		return defaultFirst, nil
	case *first < 1:
		return 0, badInput("first is %d, want 1 or more", *first)
	case *first > most:
		return 0, exceeded("MaxFirst", most, "first is %d", *first)
	}
	return *first, nil
}

// Runner gives the runner of this name, nil if it is not one of Config.Runners.
func (q queries) Runner(ctx context.Context, name string) (*gen.Runner, error) {
	runner := q.runners[name]
	if runner == nil {
		return nil, nil
	}
	stats, err := runner.Stats(ctx)
	if err != nil {
		return nil, err
	}
	shown := runnerOf(stats)
	return &shown, nil
}

// mutations change something.
type mutations struct{ *resolvers }

// CancelTask cancels a task; see actors.TaskRunner.Cancel.
func (m mutations) CancelTask(ctx context.Context, id string) (*gen.Task, error) {
	return m.control(ctx, id, (*actors.TaskRunner).Cancel)
}

// RetryTask has a task run again; see actors.TaskRunner.Retry.
func (m mutations) RetryTask(ctx context.Context, id string) (*gen.Task, error) {
	return m.control(ctx, id, (*actors.TaskRunner).Retry)
}

// control has the task's own runner do it: a runner knows what runs, where the store only knows what was recorded.
func (m mutations) control(
	ctx context.Context, id string, do func(*actors.TaskRunner, context.Context, string) (store.Task, error),
) (*gen.Task, error) {
	task, err := m.find(ctx, id)
	if err != nil {
		return nil, err
	}
	runner := m.runners[task.Runner]
	if runner == nil {
		return nil, &problem{code: Conflict, text: "the task belongs to a runner that is not served here"}
	}
	return m.shown(do(runner, ctx, id))
}
