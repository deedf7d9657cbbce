package graphql_test

import (
	"errors"
	"testing"

	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/messages"
)

const (
	cancelTask = `mutation($id: ID!) { cancelTask(id: $id) ` + taskFields + `}`
	retryTask  = `mutation($id: ID!) { retryTask(id: $id) ` + taskFields + `}`
)

func TestCancelTask(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	tasks := s.start("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "waits")

	waits := into[task](s, "cancelTask", cancelTask, vars{"id": tasks[10].ID})
	if waits.State != "CANCELLED" || waits.FinishedAt == nil {
		t.Errorf("a cancelled task that waited is %+v", waits)
	}
	<-s.ended

	told := into[task](s, "cancelTask", cancelTask, vars{"id": tasks[0].ID})
	if told.State != "RUNNING" {
		t.Errorf("a task that runs and was told to stop is %s, want RUNNING", told.State)
	}
	if outcome, ok := (<-s.ended).(messages.Cancelled); !ok || outcome.TaskID != told.ID {
		t.Errorf("the outcome is %+v, want that the task was cancelled", outcome)
	}
	if got := s.task(told.ID); got.State != "CANCELLED" {
		t.Errorf("the task is %s, want CANCELLED", got.State)
	}
	again := into[task](s, "cancelTask", cancelTask, vars{"id": told.ID})
	if again.State != "CANCELLED" {
		t.Errorf("a task that is cancelled twice is %s", again.State)
	}

	outcome := s.end(assetMove{}).(messages.Completed)
	s.refuses(graphql.Conflict, cancelTask, vars{"id": outcome.TaskID}, "COMPLETED", "CANCELLED")
}

func TestRetryTask(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	id := s.start("a.svg")[0].ID
	s.refuses(graphql.Conflict, retryTask, vars{"id": id}, "RUNNING")
	s.end(assetMove{err: messages.Discard(errors.New("404"))})

	again := into[task](s, "retryTask", retryTask, vars{"id": id})
	if again.State != "AVAILABLE" || len(again.History) != 1 || again.Error != nil || again.FinishedAt != nil {
		t.Errorf("a task that is retried is %+v, want it to wait, with its history", again)
	}
	s.end(assetMove{})
	if got := s.task(id); got.State != "COMPLETED" || got.Attempt != 2 || len(got.History) != 1 || string(got.Result) == "null" {
		t.Errorf("after its second attempt the task is %+v", got)
	}
}

func TestControlOfTasksThatAreNotThere(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	foreign := insert(t, s.store, 1, func(int) string { return "report" })[0].ID
	for _, mutation := range []string{cancelTask, retryTask} {
		s.refuses(graphql.NotFound, mutation, vars{"id": anID}, "no such task")
		s.refuses(graphql.BadUserInput, mutation, vars{"id": "nonsense"}, "UUID", "nonsense")
		s.refuses(graphql.Conflict, mutation, vars{"id": foreign}, "runner")
	}
	if got := s.task(foreign); got.State != "AVAILABLE" {
		t.Errorf("the task of another runner is %s, want it untouched", got.State)
	}
}

// Mutations stand one behind the other: each sees what the one before has done. The error of one leaves the others.
func TestSeveralMutationsInOneRequest(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	tasks := s.start("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "waits")
	r := s.ask(`mutation($id: ID!) { a: cancelTask(id: $id) { state } b: retryTask(id: $id) { state } }`, vars{"id": tasks[10].ID})
	if len(r.Errors) > 0 || string(r.Data["a"]) != `{"state":"CANCELLED"}` || string(r.Data["b"]) != `{"state":"AVAILABLE"}` {
		t.Errorf("got %s", r.body)
	}
}
