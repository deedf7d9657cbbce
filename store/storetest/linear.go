package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/taskrunner-go/taskrunner/store"
)

// RunLinear has many goroutines call a store at random, through n handles on one database, and checks that what they were answered is what
// a store would answer that did one call after the other, each at some moment between its beginning and its end (linearizability). open
// is as for RunReplicas; n is 1 for a store of a single process.
func RunLinear(t *testing.T, open func(t *testing.T, n int) []store.Store, n int) {
	seed := uint64(time.Now().UnixNano())
	for round := range linearRounds {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			t.Parallel()
			t.Logf("seed %d", seed)
			stores := open(t, n)
			for _, s := range stores {
				t.Cleanup(func() { check(t, s.Close()) })
			}
			l := &linear{t: t, stores: stores, begun: time.Now()}
			l.prepare()
			var wg sync.WaitGroup
			for client := range linearClients {
				random := rand.New(rand.NewPCG(seed, uint64(round*linearClients+client)))
				wg.Go(func() { l.client(client, random) })
			}
			wg.Wait()
			l.judge()
		})
	}
}

const (
	linearRounds  = 4
	linearClients = 6
	linearCalls   = 25 // of each client
	linearTasks   = 6
	// linearPatience is how long a history may be thought about. Most take milliseconds.
	linearPatience = time.Minute
)

// linear is one history being recorded.
type linear struct {
	t      *testing.T
	stores []store.Store
	ids    []string
	begun  time.Time

	mu      sync.Mutex
	history []porcupine.Operation
}

// linearCall is what was asked of a task.
type linearCall struct {
	id   string
	op   string
	to   store.State
	run  int64
	node string
}

// linearAnswer is what was answered: the class of the refusal, and what was said of the task.
type linearAnswer struct {
	refused string
	none    bool // a claim that found nothing
	existed bool
	from    store.State
	task    linearState
}

// linearState is what is known of a task.
type linearState struct {
	exists       bool
	state        store.State
	run          int64
	attempt, max int
	cancel       bool
	history      int
}

func linearStateOf(t store.Task) linearState {
	return linearState{
		exists: true, state: t.State, run: t.Run, attempt: t.Attempt, max: t.MaxAttempts, cancel: t.CancelRequested, history: len(t.History),
	}
}

// prepare makes the ids. Half of the tasks run where they were inserted; nobody knew of them before.
func (l *linear) prepare() {
	for i := range linearTasks {
		id := newID()
		l.ids = append(l.ids, id)
		if i%2 == 0 {
			l.do(0, l.stores[i%len(l.stores)], linearCall{id: id, op: "insert", node: node}, true)
		}
	}
}

func (l *linear) client(client int, random *rand.Rand) {
	ops := []string{"insert", "claim", "claim", "finish", "finish", "finish", "finish", "cancel", "retry", "get", "get"}
	for range linearCalls {
		l.do(client, l.stores[random.IntN(len(l.stores))], linearCall{
			id: l.ids[random.IntN(len(l.ids))], op: ops[random.IntN(len(ops))], to: outcomes[random.IntN(len(outcomes))],
			run: 1 + random.Int64N(4), node: []string{"", node}[random.IntN(2)],
		}, false)
	}
}

// do makes a call and records it.
func (l *linear) do(client int, s store.Store, c linearCall, fresh bool) {
	begin := time.Since(l.begun)
	answer, err := l.call(s, c, fresh)
	end := time.Since(l.begun)
	if err != nil {
		l.t.Errorf("%+v: %v", c, err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history = append(l.history, porcupine.Operation{
		ClientId: client, Input: c, Call: begin.Nanoseconds(), Output: answer, Return: end.Nanoseconds(),
	})
}

// call asks. Each task has a kind of its own, so that a claim is about one task.
func (l *linear) call(s store.Store, c linearCall, fresh bool) (answer linearAnswer, err error) {
	switch c.op {
	case "insert":
		n := linearTask(c)
		n.Fresh = fresh
		inserted, err := s.Insert(ctx(), start, []store.NewTask{n})
		if err != nil {
			return answer, err
		}
		return linearAnswer{existed: inserted[0].Existed, task: linearStateOf(inserted[0].Task)}, nil
	case "claim":
		claimed, err := s.Claim(ctx(), start, store.Claim{Runner: runner, Node: node, Kinds: []string{c.id}, Limit: 1})
		if err != nil || len(claimed.Tasks) == 0 {
			return linearAnswer{none: true}, err
		}
		return linearAnswer{task: linearStateOf(claimed.Tasks[0])}, nil
	case "finish":
		refused, err := s.Finish(ctx(), []store.Outcome{linearOutcome(c)})
		if err != nil {
			return answer, err
		}
		return linearRefused(refused[0])
	case "cancel":
		moved, err := s.Cancel(ctx(), start, c.id)
		return linearMoved(moved, err)
	case "retry":
		moved, err := s.Retry(ctx(), start, c.id)
		return linearMoved(moved, err)
	}
	task, err := s.Get(ctx(), c.id)
	if err != nil {
		return linearRefused(err)
	}
	return linearAnswer{task: linearStateOf(task)}, nil
}

func linearTask(c linearCall) store.NewTask {
	return store.NewTask{ID: c.id, Runner: runner, Kind: c.id, MaxAttempts: 2, Node: c.node}
}

// linearOutcome lets what waits be due at once.
func linearOutcome(c linearCall) store.Outcome {
	return store.Outcome{TaskID: c.id, Run: c.run, To: c.to, ScheduledAt: start, FinishedAt: start}
}

// linearRefused makes an answer of a refusal; what is none is an error.
func linearRefused(err error) (linearAnswer, error) {
	if errors.Is(err, store.ErrNotFound) {
		return linearAnswer{refused: "not found"}, nil
	}
	refused := class(err)
	if !slices.Contains([]string{"", "fenced", "state", "cancelled"}, refused) {
		return linearAnswer{}, err
	}
	return linearAnswer{refused: refused}, nil
}

func linearMoved(moved store.Moved, err error) (linearAnswer, error) {
	if err != nil {
		return linearRefused(err)
	}
	return linearAnswer{from: moved.From, task: linearStateOf(moved.Task)}, nil
}

// judge looks for an order of the calls that explains all answers.
func (l *linear) judge() {
	model := porcupine.Model{
		Partition: linearPartition,
		Init:      func() any { return linearState{} },
		Step: func(state, input, output any) (bool, any) {
			want, after := linearStep(state.(linearState), input.(linearCall))
			answer := output.(linearAnswer)
			if answer.none { // while others try to claim the same task, nobody may
				return true, state
			}
			return answer == want, after
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
	}
	switch porcupine.CheckOperationsTimeout(model, l.history, linearPatience) {
	case porcupine.Ok:
	case porcupine.Unknown:
		l.t.Logf("a history of %d calls is too hard to judge", len(l.history))
	default:
		for _, part := range linearPartition(l.history) {
			if !porcupine.CheckOperations(model, part) {
				l.explain(part)
			}
		}
	}
}

func (l *linear) explain(part []porcupine.Operation) {
	slices.SortFunc(part, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	for _, op := range part {
		l.t.Logf("client %d, %d to %d: %+v: %+v", op.ClientId, op.Call, op.Return, op.Input, op.Output)
	}
	l.t.Error("no order of these calls explains their answers")
}

func linearPartition(history []porcupine.Operation) (parts [][]porcupine.Operation) {
	byID := map[string][]porcupine.Operation{}
	for _, op := range history {
		id := op.Input.(linearCall).id
		byID[id] = append(byID[id], op)
	}
	for _, part := range byID {
		parts = append(parts, part)
	}
	return parts
}

// linearStep is what a call answers in a state, and the state after it: by the rules of package store.
func linearStep(before linearState, c linearCall) (linearAnswer, linearState) {
	if !before.exists {
		if c.op != "insert" {
			return linearAnswer{refused: "not found"}, before
		}
		after := linearStateOf(store.ApplyInsert(start, linearTask(c)))
		return linearAnswer{task: after}, after
	}
	t := store.Task{
		ID: c.id, State: before.state, Run: before.run, Attempt: before.attempt, MaxAttempts: before.max, CancelRequested: before.cancel,
		History: make([]store.Attempt, before.history),
	}
	answer := linearAnswer{from: t.State}
	var err error
	switch c.op {
	case "insert":
		answer = linearAnswer{existed: true, task: before}
		return answer, before
	case "claim":
		if !t.State.Waiting() {
			return linearAnswer{none: true}, before
		}
		store.ApplyClaim(&t, start, node)
		after := linearStateOf(t)
		answer.from, answer.task = "", after
		answer.task.history = 0 // a claim carries none
		return answer, after
	case "finish":
		if _, err = store.ApplyOutcome(&t, linearOutcome(c)); err == nil {
			err = store.AsAsked(t.State, linearOutcome(c))
		}
		return linearAnswer{refused: class(err)}, linearStateOf(t)
	case "cancel":
		_, err = store.ApplyCancel(&t, start)
	case "retry":
		_, err = store.ApplyRetry(&t, start)
	case "get":
		return linearAnswer{task: before}, before
	}
	if err != nil {
		return linearAnswer{refused: class(err)}, before
	}
	answer.task = linearStateOf(t)
	return answer, answer.task
}
