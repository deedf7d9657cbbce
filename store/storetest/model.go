package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/store"
)

var modelTests = []test{{"random operations", modelRandom}}

// modelRandom does random operations to the store and to a model of it, and compares after each. All sequences share
// one store, each with a runner of its own: to open a store for each would take most of the time.
func modelRandom(e *env) {
	rapid.Check(e.T, func(t *rapid.T) {
		m := &model{t: t, env: e, runner: uuid.NewString(), now: start, tasks: map[string]*modelTask{}}
		t.Repeat(map[string]func(*rapid.T){
			"insert":   m.insert,
			"claim":    m.claim,
			"finish":   m.finish,
			"report":   m.report,
			"cancel":   m.cancel,
			"retry":    m.retry,
			"recover":  m.recoverNodes,
			"time":     m.pass,
			"":         m.compare,
			"list":     m.list,
			"requests": m.requests,
		})
	})
}

// model says what the contract does, in the fewest words: no history texts, no sizes, no indices.
type model struct {
	t      *rapid.T
	env    *env
	runner string
	now    time.Time
	tasks  map[string]*modelTask
	order  []string // of insertion
}

type modelTask struct {
	state                 store.State
	kind, node            string
	run                   int64
	attempt, max, history int
	cancel                bool
	progress              float64
	scheduled             time.Time
}

var (
	modelNodes = []string{"n1", "n2"}
	modelKinds = []string{"k1", "k2", "k3"}
)

func (m *model) insert(t *rapid.T) {
	tasks := make([]store.NewTask, rapid.IntRange(1, 4).Draw(t, "tasks"))
	for i := range tasks {
		tasks[i] = store.NewTask{
			ID: uuid.NewString(), Runner: m.runner, Kind: rapid.SampledFrom(modelKinds).Draw(t, "kind"),
			MaxAttempts: rapid.IntRange(1, 2).Draw(t, "max"), ScheduledAt: m.now.Add(m.delay(t)),
			Node: rapid.SampledFrom(append(modelNodes, "", "")).Draw(t, "node"),
		}
		if len(m.order) > 0 && rapid.IntRange(0, 4).Draw(t, "again") == 0 {
			tasks[i].ID = rapid.SampledFrom(m.order).Draw(t, "id")
		}
	}
	inserted, err := m.env.Insert(ctx(), m.now, tasks)
	m.check(err)
	for i, n := range tasks {
		_, existed := m.tasks[n.ID]
		if inserted[i].Existed != existed {
			m.t.Fatalf("insert %d: existed is %v", i, inserted[i].Existed)
		}
		if !existed {
			m.order = append(m.order, n.ID)
			m.tasks[n.ID] = m.inserted(n)
		}
		m.same(n.ID, inserted[i].Task)
	}
}

func (m *model) inserted(n store.NewTask) *modelTask {
	task := &modelTask{state: store.Available, kind: n.Kind, max: n.MaxAttempts, scheduled: n.ScheduledAt}
	switch {
	case n.Node != "":
		task.scheduled = m.now
		task.start(n.Node)
	case n.ScheduledAt.After(m.now):
		task.state = store.Scheduled
	}
	return task
}

func (task *modelTask) start(node string) {
	task.state, task.node, task.progress = store.Running, node, 0
	task.run++
	task.attempt++
}

func (m *model) claim(t *rapid.T) {
	claim := store.Claim{
		Runner: m.runner, Node: rapid.SampledFrom(modelNodes).Draw(t, "node"), Limit: rapid.IntRange(0, 5).Draw(t, "limit"),
		Kinds: rapid.SliceOfNDistinct(rapid.SampledFrom(modelKinds), 0, 3, rapid.ID).Draw(t, "kinds"),
	}
	claimed, err := m.env.Claim(ctx(), m.now, claim)
	m.check(err)
	waiting := m.waiting(claim.Kinds)
	n := 0
	for n < min(claim.Limit, len(waiting)) && !m.tasks[waiting[n]].scheduled.After(m.now) {
		m.tasks[waiting[n]].start(claim.Node)
		n++
	}
	if got := ids(claimed.Tasks); !slices.Equal(got, waiting[:n]) {
		m.t.Fatalf("claimed %v, want %v", got, waiting[:n])
	}
	var next time.Time
	if n < len(waiting) {
		next = micro(m.tasks[waiting[n]].scheduled)
	}
	if !claimed.Next.Equal(next) {
		m.t.Fatalf("next is %v, want %v", claimed.Next, next)
	}
}

// waiting gives the ids of waiting tasks in the order in which they are to be claimed.
func (m *model) waiting(kinds []string) []string {
	var ids []string
	for _, id := range m.order {
		if task := m.tasks[id]; task.state.Waiting() && slices.Contains(kinds, task.kind) {
			ids = append(ids, id)
		}
	}
	slices.SortStableFunc(ids, func(a, b string) int {
		return micro(m.tasks[a].scheduled).Compare(micro(m.tasks[b].scheduled))
	})
	return ids
}

func (m *model) finish(t *rapid.T) {
	if len(m.order) == 0 {
		t.Skip("nothing to finish")
	}
	batch := make([]store.Outcome, rapid.IntRange(1, 4).Draw(t, "outcomes"))
	for i := range batch {
		id := rapid.SampledFrom(m.order).Draw(t, "id")
		batch[i] = store.Outcome{
			TaskID: id, Run: max(1, m.tasks[id].run-int64(rapid.IntRange(0, 4).Draw(t, "old")/4)),
			To: rapid.SampledFrom(outcomes).Draw(t, "to"), ScheduledAt: m.now.Add(m.delay(t)), FinishedAt: m.now,
			Error: rapid.SampledFrom([]string{"", "failed"}).Draw(t, "error"),
		}
	}
	refused, err := m.env.Finish(ctx(), batch)
	m.check(err)
	for i, o := range batch {
		if got, want := class(refused[i]), m.outcome(m.tasks[o.TaskID], o); got != want {
			m.t.Fatalf("outcome %d (%+v): answer %v, want %s", i, o, refused[i], cmp.Or(want, "none"))
		}
	}
}

// outcome applies o to the task and gives the class of the refusal.
func (m *model) outcome(task *modelTask, o store.Outcome) string {
	to := o.To
	if task.cancel && to.Waiting() {
		to = store.Cancelled
	}
	switch {
	case task.run != o.Run:
		return "fenced"
	case task.state != to && task.state != store.Running:
		return "state"
	}
	answer := ""
	if to != o.To {
		answer = "cancelled"
	}
	if task.state == to {
		return answer
	}
	m.move(task, to)
	if to == store.Discarded || o.To == store.Retryable || to == store.Cancelled && o.Error != "" {
		task.history++
	}
	if to == store.Scheduled || to == store.Available {
		task.attempt--
	}
	if to == store.Scheduled || to == store.Retryable {
		task.scheduled = o.ScheduledAt
	}
	return answer
}

func (m *model) move(task *modelTask, to store.State) {
	if !store.CanMove(task.state, to) {
		m.t.Fatalf("the model moves from %s to %s, which the table does not have", task.state, to)
	}
	task.state, task.node = to, ""
}

func (m *model) report(t *rapid.T) {
	if len(m.order) == 0 {
		t.Skip("nothing to report")
	}
	id := rapid.SampledFrom(m.order).Draw(t, "id")
	p := store.Progress{
		TaskID: id, Run: rapid.Int64Range(1, 3).Draw(t, "run"), Fraction: rapid.Float64Range(0, 1).Draw(t, "fraction"),
	}
	m.check(m.env.Report(ctx(), []store.Progress{p}))
	if task := m.tasks[id]; task.state == store.Running && task.run == p.Run {
		task.progress = p.Fraction
	}
}

func (m *model) cancel(t *rapid.T) {
	m.control(t, m.env.Cancel, func(task *modelTask) string {
		switch {
		case task.state.Waiting():
			m.move(task, store.Cancelled)
		case task.state == store.Running:
			task.cancel = true
		case task.state != store.Cancelled:
			return "state"
		}
		return ""
	})
}

func (m *model) retry(t *rapid.T) {
	m.control(t, m.env.Retry, func(task *modelTask) string {
		switch task.state {
		case store.Available:
			return ""
		case store.Running:
			return "state"
		}
		m.move(task, store.Available)
		task.cancel, task.scheduled = false, m.now
		task.max = max(task.max, task.attempt+1)
		return ""
	})
}

type controlled = func(ctx context.Context, now time.Time, id string) (store.Moved, error)

func (m *model) control(t *rapid.T, call controlled, rule func(*modelTask) string) {
	if len(m.order) == 0 {
		t.Skip("nothing to control")
	}
	id := rapid.SampledFrom(m.order).Draw(t, "id")
	from := m.tasks[id].state
	got, err := call(ctx(), m.now, id)
	if want := rule(m.tasks[id]); class(err) != want {
		m.t.Fatalf("answer %v, want %s", err, cmp.Or(want, "none"))
	}
	if err == nil {
		m.same(id, got.Task)
		if got.From != from {
			m.t.Fatalf("the answer says it was %s, it was %s", got.From, from)
		}
	}
}

func (m *model) recoverNodes(t *rapid.T) {
	alive := rapid.SliceOfDistinct(rapid.SampledFrom(modelNodes), rapid.ID).Draw(t, "alive")
	got, err := m.env.Recover(ctx(), m.now, m.runner, alive)
	m.check(err)
	want := 0
	for _, task := range m.tasks {
		if task.state != store.Running || slices.Contains(alive, task.node) {
			continue
		}
		want++
		task.history++
		switch {
		case task.cancel:
			m.move(task, store.Cancelled)
		case task.attempt >= task.max:
			m.move(task, store.Discarded)
		default:
			m.move(task, store.Available)
		}
	}
	if got != want {
		m.t.Fatalf("recovered %d, want %d", got, want)
	}
}

func (m *model) pass(t *rapid.T) { m.now = m.now.Add(m.delay(t)) }

func (m *model) delay(t *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(0, 3).Draw(t, "delay")) * time.Minute
}

func (m *model) list(t *rapid.T) {
	query := store.Query{
		Runner: m.runner, Kind: rapid.SampledFrom(append(modelKinds, "")).Draw(t, "kind"),
		Limit:  rapid.IntRange(0, 5).Draw(t, "limit"),
		States: rapid.SliceOfDistinct(rapid.SampledFrom(store.States[:]), rapid.ID).Draw(t, "states"),
	}
	got, err := m.env.List(ctx(), query)
	m.check(err)
	var want []string
	for _, id := range slices.Backward(m.order) {
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
	want := map[store.State]int64{}
	for _, task := range m.tasks {
		want[task.state]++
	}
	got, err := m.env.Counts(ctx(), m.runner)
	m.check(err)
	if !maps.Equal(got, want) {
		t.Fatalf("counts are %v, want %v", got, want)
	}
	if len(m.order) == 0 {
		return
	}
	all, err := m.env.List(ctx(), store.Query{Runner: m.runner, Limit: len(m.order)})
	m.check(err)
	if len(all) != len(m.order) {
		t.Fatalf("there are %d tasks, want %d", len(all), len(m.order))
	}
	for i, id := range slices.Backward(m.order) {
		m.same(id, all[len(all)-1-i])
	}
}

func (m *model) same(id string, got store.Task) {
	task := m.tasks[id]
	seen := &modelTask{
		state: got.State, kind: got.Kind, node: got.Node, run: got.Run, attempt: got.Attempt, max: got.MaxAttempts,
		history: len(got.Errors), cancel: got.CancelRequested, progress: got.Progress, scheduled: got.ScheduledAt,
	}
	want := *task
	want.scheduled = micro(task.scheduled)
	if got.ID != id || *seen != want {
		m.t.Fatalf("task %s is\n%+v, want\n%+v", id, *seen, want)
	}
	if got.State.Final() == got.FinishedAt.IsZero() || (got.Run == 0) != got.StartedAt.IsZero() {
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
