package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/store"
)

func (m *model) list(t *rapid.T) {
	query := store.Query{
		Runner: m.runner, Kind: rapid.SampledFrom(append(modelKinds, "")).Draw(t, "kind"),
		Limit:  rapid.IntRange(0, 5).Draw(t, "limit"),
		States: rapid.SliceOfDistinct(rapid.SampledFrom(store.States[:]), rapid.ID).Draw(t, "states"),
	}
	got, err := m.env.List(ctx(), query)
	m.check(err)
	var want []string
	for _, id := range m.listed() {
		task := m.tasks[id]
		in := len(query.States) == 0 || slices.Contains(query.States, task.state)
		if in && (query.Kind == "" || query.Kind == task.kind) && len(want) < query.Size() {
			want = append(want, id)
		}
	}
	if !slices.Equal(ids(got), want) {
		m.t.Fatalf("list is %v, want %v", ids(got), want)
	}
}

// listed gives all ids in the order of a list.
func (m *model) listed() []string {
	listed := slices.DeleteFunc(m.living(), func(id string) bool { return m.tasks[id].state.Final() })
	slices.Reverse(listed)
	seen := map[string]bool{}
	for _, end := range slices.Backward(m.ends) {
		if task := m.tasks[end.id]; task != nil && task.state.Final() && !seen[end.id] {
			listed = append(listed, end.id)
		}
		seen[end.id] = true
	}
	return listed
}

// outcomes reads them all in pages.
func (m *model) outcomes(t *rapid.T) {
	query := store.OutcomeQuery{Runner: m.runner, Limit: rapid.IntRange(1, 3).Draw(t, "limit")}
	ends := slices.DeleteFunc(slices.Clone(m.ends), func(end modelEnd) bool { return end.lost })
	for i := 0; ; {
		got, err := m.env.Outcomes(ctx(), query)
		m.check(err)
		for _, task := range got.Tasks {
			if i == len(ends) {
				m.t.Fatalf("there are more than %d outcomes", i)
			}
			want := ends[i]
			seen := modelEnd{id: task.ID, state: task.State, run: task.Run, at: task.FinishedAt, n: want.n, pos: task.Pos, task: want.task}
			if want.at = micro(want.at); seen != want {
				m.t.Fatalf("outcome %d is %+v, want %+v", i, seen, want)
			}
			i++
		}
		if got.Next == query.After || len(got.Tasks) == 0 && got.Next >= m.end() {
			if i != len(ends) {
				m.t.Fatalf("there are %d outcomes, want %d", i, len(ends))
			}
			return
		}
		query.After = got.Next
	}
}

// end is where the order of outcomes ends, of all runners.
func (m *model) end() int64 {
	now, err := m.env.Outcomes(ctx(), store.OutcomeQuery{After: store.FromNow})
	m.check(err)
	return now.Next
}

func (m *model) runs(t *rapid.T) {
	node := rapid.SampledFrom(modelNodes).Draw(t, "node")
	got, err := m.env.Running(ctx(), m.runner, node)
	m.check(err)
	want := map[store.RunID]bool{}
	for id, task := range m.tasks {
		if task.state == store.Running && task.node == node {
			want[store.RunID{TaskID: id, Run: task.run}] = true
		}
	}
	seen := map[store.RunID]bool{}
	for _, run := range got {
		seen[run] = true
	}
	if !maps.Equal(seen, want) {
		m.t.Fatalf("running in %s is %v, want %v", node, seen, want)
	}
}

func (m *model) requests(t *rapid.T) {
	node := rapid.SampledFrom(modelNodes).Draw(t, "node")
	got, err := m.env.CancelRequests(ctx(), m.runner, node)
	m.check(err)
	want := map[string]bool{}
	for id, task := range m.tasks {
		if task.state == store.Running && task.node == node && task.cancel {
			want[id] = true
		}
	}
	if !maps.Equal(set(got), want) {
		m.t.Fatalf("cancel requests are %v, want %v", got, want)
	}
}

// compare checks every task and the counts. It reads all tasks at once: to get each would take most of the time.
func (m *model) compare(t *rapid.T) {
	m.t = t
	m.place()
	want := map[store.State]int64{}
	for _, task := range m.tasks {
		want[task.state]++
	}
	got, err := m.env.Counts(ctx(), m.runner)
	m.check(err)
	if !maps.Equal(got, want) {
		t.Fatalf("counts are %v, want %v", got, want)
	}
	if len(m.tasks) == 0 {
		return
	}
	all, err := m.env.List(ctx(), store.Query{Runner: m.runner, Limit: len(m.tasks)})
	m.check(err)
	if listed := m.listed(); !slices.Equal(ids(all), listed) {
		t.Fatalf("there are %v, want %v", ids(all), listed)
	}
	for i := range all {
		m.same(all[i].ID, all[i])
	}
}

func (m *model) same(id string, got store.Task) {
	task := m.tasks[id]
	seen := &modelTask{
		state: got.State, kind: got.Kind, node: got.Node, run: got.Run, attempt: got.Attempt, max: got.MaxAttempts,
		history: len(got.History), cancel: got.CancelRequested, progress: got.Progress, priority: got.Priority,
		scheduled: got.ScheduledAt,
	}
	want := *task
	want.ends = 0
	want.scheduled = micro(task.scheduled)
	if got.ID != id || *seen != want {
		m.t.Fatalf("task %s is\n%+v, want\n%+v", id, *seen, want)
	}
	if got.State.Final() == got.FinishedAt.IsZero() || got.State.Final() != (got.Pos > 0) || (got.Run == 0) != got.StartedAt.IsZero() {
		m.t.Fatalf("task %s has the wrong times: %+v", id, got)
	}
}

func (m *model) check(err error) {
	if err != nil {
		m.t.Fatal(err)
	}
}

func class(err error) string {
	var state *store.StateError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, store.ErrFenced):
		return "fenced"
	case errors.Is(err, store.ErrCancelled):
		return "cancelled"
	case errors.As(err, &state):
		return "state"
	}
	return fmt.Sprint("other: ", err)
}

func set(ids []string) map[string]bool {
	s := map[string]bool{}
	for _, id := range ids {
		s[id] = true
	}
	return s
}
