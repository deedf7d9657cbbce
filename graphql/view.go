package graphql

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/graphql/internal/gen"
	"github.com/taskrunner-go/taskrunner/store"
)

// view is how recorded tasks are shown.
type view struct {
	hidden func(kind string) bool
	stacks bool
}

// task makes plain values of a task, so that no field needs a resolver, nor a question to the store.
func (v view) task(t store.Task) gen.Task {
	shown := gen.Task{
		ID: t.ID, Kind: t.Kind, State: stateOf(t.State), Attempt: t.Attempt, MaxAttempts: t.MaxAttempts,
		Progress: progress(t), Error: lastError(t), History: make([]gen.Attempt, len(t.History)), Priority: t.Priority,
		InsertedAt: t.InsertedAt, ScheduledAt: t.ScheduledAt, StartedAt: unlessZero(t.StartedAt), FinishedAt: unlessZero(t.FinishedAt),
	}
	if !v.hidden(t.Kind) {
		shown.Args = jsonOrNull(t.Args)
		if t.State == store.Completed { // a task that runs again may keep its last result until it has a new one
			shown.Result = jsonOrNull(t.Result)
		}
	}
	shown.Node = unlessEmpty(t.Node)
	for i, a := range t.History {
		shown.History[i] = v.attempt(a)
	}
	return shown
}

// attempt shows what a task says of itself. Its text is for whoever may see the task; a stack tells of the program.
func (v view) attempt(a store.Attempt) gen.Attempt {
	shown := gen.Attempt{
		Attempt: a.Attempt, Run: int(a.Run), State: stateOf(a.State), StartedAt: unlessZero(a.StartedAt), FinishedAt: a.FinishedAt,
		Node: unlessEmpty(a.Node), Error: unlessEmpty(a.Error),
	}
	if v.stacks {
		shown.Stack = unlessEmpty(a.Stack)
	}
	return shown
}

// unlessEmpty gives a text that there is not as null.
func unlessEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// stateOf is a state as the schema writes it.
func stateOf(s store.State) gen.TaskState { return gen.TaskState(strings.ToUpper(string(s))) }

// storeState is the state that the schema writes so.
func storeState(s gen.TaskState) store.State { return store.State(strings.ToLower(string(s))) }

// progress is 1 for every completed task: few handlers report that they are done, because they are.
func progress(t store.Task) *float64 {
	switch {
	case t.StartedAt.IsZero():
		return nil
	case t.State == store.Completed:
		t.Progress = 1
	}
	return &t.Progress
}

// lastError is why the task is where it is, nil if that is no failure.
func lastError(t store.Task) *string {
	failed := t.State == store.Retryable || t.State == store.Cancelled || t.State == store.Discarded
	if !failed || len(t.History) == 0 {
		return nil
	}
	return unlessEmpty(t.History[len(t.History)-1].Error)
}

// jsonOrNull keeps what is not JSON out of the answer, which would break all of it. Arguments and results are JSON unless
// somebody else has written them.
func jsonOrNull(data []byte) json.RawMessage {
	if len(data) == 0 || !utf8.Valid(data) || !json.Valid(data) {
		return nil
	}
	return data
}

// unlessZero gives a time that is not known yet as null.
func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// runnerOf shows all states, also those without tasks, in one order: a front end need not know the list.
func runnerOf(s actors.Stats) gen.Runner {
	shown := gen.Runner{
		Name: s.Name, MaxChildren: s.MaxChildren, MaxWaiting: s.MaxWaiting,
		Running: s.Running, Waiting: s.Waiting, Unrecorded: s.Unrecorded, Abandoned: s.Abandoned,
	}
	for _, state := range store.States {
		shown.States = append(shown.States, gen.StateCount{State: stateOf(state), Count: int(s.States[state])})
	}
	return shown
}

// pageOf makes a page of tasks, of which there is one more than fits if there is a next page.
func (v view) pageOf(tasks []store.Task, size int, after bool) gen.TaskConnection {
	page := gen.TaskConnection{Edges: []gen.TaskEdge{}}
	page.PageInfo.HasPreviousPage = after
	if len(tasks) > size {
		page.PageInfo.HasNextPage = true
		tasks = tasks[:size]
	}
	for _, t := range tasks {
		page.Edges = append(page.Edges, gen.TaskEdge{Cursor: encodeCursor(t.Place()), Node: v.task(t)})
	}
	if last := len(page.Edges) - 1; last >= 0 {
		page.PageInfo.StartCursor, page.PageInfo.EndCursor = &page.Edges[0].Cursor, &page.Edges[last].Cursor
	}
	return page
}
