package storetest

import (
	"cmp"
	"context"
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
		m := &model{
			t: t, env: e, runner: uuid.NewString(), now: start, tasks: map[string]*modelTask{}, release: func() {},
			subscribers: map[string]store.Subscriber{},
		}
		defer func() { m.release() }()
		t.Repeat(map[string]func(*rapid.T){
			"insert":   m.insert,
			"claim":    m.claim,
			"finish":   m.finish,
			"report":   m.report,
			"cancel":   m.cancel,
			"retry":    m.retry,
			"hold":     m.hold,
			"recover":  m.recoverNodes,
			"time":     m.pass,
			"":         m.compare,
			"list":     m.list,
			"requests": m.requests,
			"running":  m.runs,
			"outcomes": m.outcomes,
			"prune":    m.prune,

			"subscribe":   m.subscribe,
			"acknowledge": m.acknowledge,
			"unsubscribe": m.unsubscribe,
			"follow":      m.follow,
		})
	})
}

// modelEnd is one outcome.
type modelEnd struct {
	id    string
	state store.State
	run   int64
	at    time.Time
	n     int   // of this task, from 1
	pos   int64 // see place
	task  *modelTask
	lost  bool // one behind it was deleted, so it is not given any more
}

// model says what the contract does, in the fewest words: no history texts, no sizes, no indices.
type model struct {
	t       *rapid.T
	env     *env
	runner  string
	now     time.Time
	tasks   map[string]*modelTask
	order   []string   // of insertion
	ends    []modelEnd // in their order
	node    string     // where the runner holds; empty: nowhere
	release func()

	subscribers map[string]store.Subscriber // by name
	deleted     int64                       // the largest place of an outcome that was deleted
}

type modelTask struct {
	state                 store.State
	kind, node            string
	run                   int64
	attempt, max, history int
	ends                  int // how often it has ended
	cancel                bool
	progress              float64
	priority              int
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
			MaxAttempts: rapid.IntRange(1, 2).Draw(t, "max"), Priority: rapid.IntRange(0, 2).Draw(t, "priority"), ScheduledAt: m.now.Add(m.delay(t)),
			Node: rapid.SampledFrom(append(modelNodes, "", "")).Draw(t, "node"), Fresh: true,
		}
		if len(m.order) > 0 && rapid.IntRange(0, 4).Draw(t, "again") == 0 {
			tasks[i].Fresh = false
			tasks[i].ID = rapid.SampledFrom(m.order).Draw(t, "id") // of one that is there, or was
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
			m.order = append(slices.DeleteFunc(m.order, func(id string) bool { return id == n.ID }), n.ID)
			m.tasks[n.ID] = m.inserted(n)
		}
		m.same(n.ID, inserted[i].Task)
	}
}

func (m *model) inserted(n store.NewTask) *modelTask {
	task := &modelTask{state: store.Available, kind: n.Kind, max: n.MaxAttempts, priority: n.Priority, scheduled: n.ScheduledAt}
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
	due, next := m.waiting(claim.Kinds)
	n := min(claim.Limit, len(due))
	for _, id := range due[:n] {
		m.tasks[id].start(claim.Node)
	}
	if got := ids(claimed.Tasks); !slices.Equal(got, due[:n]) {
		m.t.Fatalf("claimed %v, want %v", got, due[:n])
	}
	if n < len(due) {
		next = m.now
	}
	if !claimed.Next.Equal(micro(next)) && !(claimed.Next.IsZero() && next.IsZero()) {
		m.t.Fatalf("next is %v, want %v", claimed.Next, next)
	}
}

// waiting gives the ids of tasks that are due, in the order in which they are to be claimed, and when the next one will be.
func (m *model) waiting(kinds []string) (due []string, next time.Time) {
	for _, id := range m.order {
		task := m.tasks[id]
		switch {
		case task == nil || !task.state.Waiting() || !slices.Contains(kinds, task.kind):
		case task.state == store.Available || !micro(task.scheduled).After(m.now):
			due = append(due, id)
		case next.IsZero() || task.scheduled.Before(next):
			next = task.scheduled
		}
	}
	slices.SortStableFunc(due, func(a, b string) int {
		return cmp.Or(
			cmp.Compare(m.tasks[a].priority, m.tasks[b].priority), micro(m.tasks[a].scheduled).Compare(micro(m.tasks[b].scheduled)))
	})
	return due, next
}

func (m *model) finish(t *rapid.T) {
	if len(m.tasks) == 0 {
		t.Skip("nothing to finish")
	}
	batch := make([]store.Outcome, rapid.IntRange(1, 4).Draw(t, "outcomes"))
	for i := range batch {
		id := rapid.SampledFrom(m.living()).Draw(t, "id")
		batch[i] = store.Outcome{
			TaskID: id, Run: max(1, m.tasks[id].run-int64(rapid.IntRange(0, 4).Draw(t, "old")/4)),
			To: rapid.SampledFrom(outcomes).Draw(t, "to"), ScheduledAt: m.now.Add(m.delay(t)), FinishedAt: m.now,
			Error: rapid.SampledFrom([]string{"", "failed"}).Draw(t, "error"),
		}
	}
	refused, err := m.env.Finish(ctx(), batch)
	m.check(err)
	before := len(m.ends)
	for i, o := range batch {
		if got, want := class(refused[i]), m.outcome(m.tasks[o.TaskID], o); got != want {
			m.t.Fatalf("outcome %d (%+v): answer %v, want %s", i, o, refused[i], cmp.Or(want, "none"))
		}
	}
	m.sortEnds(m.ends[before:])
}

// sortEnds sorts outcomes whose order among each other is the store's to choose.
func (m *model) sortEnds(ends []modelEnd) {
	pos := map[string]int64{}
	for _, end := range ends {
		task, err := m.env.Get(ctx(), end.id)
		m.check(err)
		pos[end.id] = task.Pos
	}
	slices.SortFunc(ends, func(a, b modelEnd) int { return cmp.Compare(pos[a.id], pos[b.id]) })
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
	m.move(o.TaskID, to)
	if to == store.Discarded || to == store.Retryable || to == store.Cancelled {
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

func (m *model) move(id string, to store.State) {
	task := m.tasks[id]
	if !store.CanMove(task.state, to) {
		m.t.Fatalf("the model moves from %s to %s, which the table does not have", task.state, to)
	}
	task.state = to
	if !to.Final() {
		task.node = ""
		return
	}
	task.ends++
	m.ends = append(m.ends, modelEnd{id: id, n: task.ends, task: task, state: to, run: task.run, at: m.now})
}

// living gives the ids of the tasks that were not deleted, in the order of insertion.
func (m *model) living() []string {
	return slices.DeleteFunc(slices.Clone(m.order), func(id string) bool { return m.tasks[id] == nil })
}

func (m *model) report(t *rapid.T) {
	if len(m.tasks) == 0 {
		t.Skip("nothing to report")
	}
	id := rapid.SampledFrom(m.living()).Draw(t, "id")
	p := store.Progress{
		TaskID: id, Run: rapid.Int64Range(1, 3).Draw(t, "run"), Fraction: rapid.Float64Range(0, 1).Draw(t, "fraction"),
	}
	m.check(m.env.Report(ctx(), []store.Progress{p}))
	if task := m.tasks[id]; task.state == store.Running && task.run == p.Run {
		task.progress = p.Fraction
	}
}

func (m *model) cancel(t *rapid.T) {
	m.control(t, m.env.Cancel, func(id string, task *modelTask) string {
		switch {
		case task.state.Waiting():
			m.move(id, store.Cancelled)
			task.history++
		case task.state == store.Running:
			task.cancel = true
		case task.state != store.Cancelled:
			return "state"
		}
		return ""
	})
}

func (m *model) retry(t *rapid.T) {
	m.control(t, m.env.Retry, func(id string, task *modelTask) string {
		switch task.state {
		case store.Available:
			return ""
		case store.Running:
			return "state"
		case store.Completed:
			task.history++
		}
		m.move(id, store.Available)
		task.cancel, task.scheduled = false, m.now
		task.max = max(task.max, task.attempt+1)
		return ""
	})
}

type controlled = func(ctx context.Context, now time.Time, id string) (store.Moved, error)

func (m *model) control(t *rapid.T, call controlled, rule func(string, *modelTask) string) {
	if len(m.tasks) == 0 {
		t.Skip("nothing to control")
	}
	id := rapid.SampledFrom(m.living()).Draw(t, "id")
	from := m.tasks[id].state
	got, err := call(ctx(), m.now, id)
	if want := rule(id, m.tasks[id]); class(err) != want {
		m.t.Fatalf("answer %v, want %s", err, cmp.Or(want, "none"))
	}
	if err == nil {
		m.same(id, got.Task)
		if got.From != from {
			m.t.Fatalf("the answer says it was %s, it was %s", got.From, from)
		}
	}
}

// hold has the runner hold in another node, or in none.
func (m *model) hold(t *rapid.T) {
	m.release()
	m.release = func() {}
	if m.node = rapid.SampledFrom(append(modelNodes, "")).Draw(t, "node"); m.node == "" {
		return
	}
	release, err := m.env.Hold(store.Holder{Runner: m.runner, Node: m.node})
	m.check(err)
	m.release = release
}

func (m *model) recoverNodes(*rapid.T) {
	got, err := m.env.Recover(ctx(), m.now, m.runner)
	m.check(err)
	want := 0
	var final []string
	for _, id := range m.living() {
		task := m.tasks[id]
		if task.state != store.Running || task.node == m.node {
			continue
		}
		want++
		task.history++
		switch {
		case task.cancel, task.attempt >= task.max:
			final = append(final, id)
		default:
			m.move(id, store.Available)
		}
	}
	if got != want {
		m.t.Fatalf("recovered %d, want %d", got, want)
	}
	before := len(m.ends)
	for _, id := range final {
		to := store.Discarded
		if m.tasks[id].cancel {
			to = store.Cancelled
		}
		m.move(id, to)
	}
	m.sortEnds(m.ends[before:])
}

// prune deletes what has ended before some time.
func (m *model) prune(t *rapid.T) {
	x := store.Expiry{Runner: m.runner, Limit: rapid.IntRange(0, 3).Draw(t, "limit")}
	for _, before := range []*time.Time{&x.Completed, &x.Cancelled, &x.Discarded, &x.Subscribers} {
		if rapid.Bool().Draw(t, "some") {
			*before = m.now.Add(-m.delay(t))
		}
	}
	got, err := m.env.Prune(ctx(), x)
	m.check(err)
	want, last, i := 0, 0, 0
	keptFrom := m.keptFrom(x.Subscribers)
	m.ends = slices.DeleteFunc(m.ends, func(end modelEnd) bool {
		i++
		if want == x.Size() || end.pos > keptFrom || !micro(end.at).Before(x.Before(end.state)) {
			return false
		}
		want++
		m.deleted = max(m.deleted, end.pos)
		if task := m.tasks[end.id]; task == end.task && task.ends == end.n && task.state.Final() {
			delete(m.tasks, end.id)
		}
		last = i - want // how many of those that stay stand before it
		return true
	})
	for i := range last {
		m.ends[i].lost = true
	}
	if got != want {
		m.t.Fatalf("deleted %d outcomes, want %d", got, want)
	}
}

func (m *model) pass(t *rapid.T) { m.now = m.now.Add(m.delay(t)) }

func (m *model) delay(t *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(0, 3).Draw(t, "delay")) * time.Minute
}
