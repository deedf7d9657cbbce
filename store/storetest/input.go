package storetest

import (
	"math"
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

var inputTests = []test{
	{"new tasks", inputTasks},
	{"outcomes", inputOutcomes},
	{"claims", inputClaims},
	{"queries", inputQueries},
	{"queries for outcomes", inputOutcomeQueries},
	{"expiries", inputExpiries},
	{"holders", inputHolders},
	{"ids", inputIDs},
	{"times", inputTimes},
	{"names", inputNames},
}

var badNames = map[string]string{
	"empty":             "",
	"too long":          strings.Repeat("x", store.MaxName+1),
	"not UTF-8":         "a\xff",
	"NUL":               "a\x00",
	"control character": "a\nb",
	"C1 control":        "a\u0085b",
}

var badIDs = map[string]string{
	"empty":        "",
	"no UUID":      "x",
	"upper case":   "019A3C1E-7B5A-7C3E-8F00-0123456789AB",
	"braces":       "{019a3c1e-7b5a-7c3e-8f00-0123456789ab}",
	"urn":          "urn:uuid:019a3c1e-7b5a-7c3e-8f00-0123456789ab",
	"no hyphens":   "019a3c1e7b5a7c3e8f000123456789ab",
	"ten megabyte": strings.Repeat("a", 10<<20),
}

// refusedInput checks that the error is ErrInvalid, names the field, and is short enough for a log.
func refusedInput(e *env, what string, err error, field string) {
	e.Helper()
	refusedAs(e.T, what, err, store.ErrInvalid)
	if err == nil {
		return
	}
	if text := err.Error(); !strings.Contains(text, field) || len(text) > 500 || !strings.Contains(text, "must") {
		e.Errorf("%s: the error does not name field %q and what was expected in a few words: %.600q", what, field, text)
	}
}

func inputTasks(e *env) {
	bad := func(what, field string, change func(*store.NewTask)) {
		n := newTask()
		change(&n)
		_, err := e.Insert(ctx(), e.now, []store.NewTask{newTask(), n})
		refusedInput(e, what, err, field)
	}
	for what, id := range badIDs {
		bad("id: "+what, "ID", func(n *store.NewTask) { n.ID = id })
	}
	for what, name := range badNames {
		bad("runner: "+what, "Runner", func(n *store.NewTask) { n.Runner = name })
		bad("kind: "+what, "Kind", func(n *store.NewTask) { n.Kind = name })
		if name != "" {
			bad("key: "+what, "Key", func(n *store.NewTask) { n.Key = name })
			bad("node: "+what, "Node", func(n *store.NewTask) { n.Node = name })
		}
	}
	bad("args too large", "Args", func(n *store.NewTask) { n.Args = make([]byte, store.MaxArgs+1) })
	bad("negative priority", "Priority", func(n *store.NewTask) { n.Priority = -1 })
	bad("too large a priority", "Priority", func(n *store.NewTask) { n.Priority = store.MaxPriority + 1 })
	bad("no attempts", "MaxAttempts", func(n *store.NewTask) { n.MaxAttempts = 0 })
	bad("negative attempts", "MaxAttempts", func(n *store.NewTask) { n.MaxAttempts = -1 })
	bad("too many attempts", "MaxAttempts", func(n *store.NewTask) { n.MaxAttempts = math.MaxInt32 + 1 })
	bad("negative timeout", "Timeout", func(n *store.NewTask) { n.Timeout = -1 })
	bad("year 10000", "ScheduledAt", func(n *store.NewTask) { n.ScheduledAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) })
	bad("year -1", "ScheduledAt", func(n *store.NewTask) { n.ScheduledAt = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) })
	sameCounts(e, "", map[store.State]int64{})
}

func inputOutcomes(e *env) {
	task := e.running()
	bad := func(what, field string, change func(*store.Outcome)) {
		o := e.outcome(task, store.Retryable)
		change(&o)
		refusedInput(e, what, e.finish(o), field)
	}
	for what, id := range badIDs {
		bad("id: "+what, "TaskID", func(o *store.Outcome) { o.TaskID = id })
	}
	bad("run 0", "Run", func(o *store.Outcome) { o.Run = 0 })
	bad("to running", "To", func(o *store.Outcome) { o.To = store.Running })
	bad("to nowhere", "To", func(o *store.Outcome) { o.To = "" })
	bad("to an unknown state", "To", func(o *store.Outcome) { o.To = "paused" })
	bad("result too large", "Result", func(o *store.Outcome) { o.Result = make([]byte, store.MaxResult+1) })
	bad("retry without a time", "ScheduledAt", func(o *store.Outcome) { o.ScheduledAt = time.Time{} })
	bad("no end", "FinishedAt", func(o *store.Outcome) { o.FinishedAt = time.Time{} })
	for _, fraction := range []float64{math.NaN(), math.Inf(1), -0.1, 1.1} {
		err := e.Report(ctx(), []store.Progress{{TaskID: task.ID, Run: 1, Fraction: fraction}})
		refusedInput(e, "progress", err, "Fraction")
	}
	same(e.T, "afterwards", e.get(task.ID), task)
}

func inputClaims(e *env) {
	e.insert(newTask())
	bad := func(what, field string, change func(*store.Claim)) {
		c := store.Claim{Runner: runner, Node: node, Kinds: []string{kind}, Limit: 1}
		change(&c)
		_, err := e.Claim(ctx(), e.now, c)
		refusedInput(e, what, err, field)
	}
	for what, name := range badNames {
		bad("runner: "+what, "Runner", func(c *store.Claim) { c.Runner = name })
		bad("node: "+what, "Node", func(c *store.Claim) { c.Node = name })
		bad("kind: "+what, "Kinds[1]", func(c *store.Claim) { c.Kinds = append(c.Kinds, name) })
	}
	bad("negative limit", "Limit", func(c *store.Claim) { c.Limit = -1 })
	sameCounts(e, runner, map[store.State]int64{store.Available: 1})
}

func inputQueries(e *env) {
	bad := func(what, field string, q store.Query) {
		_, err := e.List(ctx(), q)
		refusedInput(e, what, err, field)
	}
	bad("unknown state", "States[1]", store.Query{States: []store.State{store.Running, "paused"}})
	bad("kind", "Kind", store.Query{Kind: "a\xff"})
	bad("runner", "Runner", store.Query{Runner: "a\x00"})
	bad("negative seq", "After", store.Query{After: store.Place{Seq: -1}})
	bad("negative pos", "After", store.Query{After: store.Place{Pos: -1}})
	bad("two places", "After", store.Query{After: store.Place{Seq: 1, Pos: 1}})
	bad("negative limit", "Limit", store.Query{Limit: -1})
	bad("too large a limit", "Limit", store.Query{Limit: store.MaxList + 1})
}

func inputOutcomeQueries(e *env) {
	bad := func(what, field string, q store.OutcomeQuery) {
		_, err := e.Outcomes(ctx(), q)
		refusedInput(e, what, err, field)
	}
	bad("runner", "Runner", store.OutcomeQuery{Runner: "a\x00"})
	bad("no cursor", "After", store.OutcomeQuery{After: store.FromNow - 1})
	bad("negative limit", "Limit", store.OutcomeQuery{Limit: -1})
	bad("too large a limit", "Limit", store.OutcomeQuery{Limit: store.MaxList + 1})
}

func inputExpiries(e *env) {
	bad := func(what, field string, x store.Expiry) {
		_, err := e.Prune(ctx(), x)
		refusedInput(e, what, err, field)
	}
	for what, name := range badNames {
		bad("runner: "+what, "Runner", store.Expiry{Runner: name})
	}
	bad("negative limit", "Limit", store.Expiry{Runner: runner, Limit: -1})
	bad("year 10000", "completed", store.Expiry{Runner: runner, Completed: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)})
}

func inputHolders(e *env) {
	for what, name := range badNames {
		_, err := e.Hold(store.Holder{Runner: name, Node: node})
		refusedInput(e, "hold, runner: "+what, err, "Runner")
		_, err = e.Hold(store.Holder{Runner: runner, Node: name})
		refusedInput(e, "hold, node: "+what, err, "Node")
	}
}

func inputIDs(e *env) {
	for what, id := range badIDs {
		_, err := e.Get(ctx(), id)
		refusedInput(e, "get: "+what, err, "id")
		_, err = e.Ended(ctx(), []string{newID(), id})
		refusedInput(e, "ended: "+what, err, "ids[1]")
		_, err = e.Cancel(ctx(), e.now, id)
		refusedInput(e, "cancel: "+what, err, "id")
		_, err = e.Retry(ctx(), e.now, id)
		refusedInput(e, "retry: "+what, err, "id")
	}
}

func inputTimes(e *env) {
	task := e.insert(newTask())[0]
	for _, now := range []time.Time{{}, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		_, err := e.Insert(ctx(), now, newTasks(1))
		refusedInput(e, "insert", err, "now")
		_, err = e.Claim(ctx(), now, store.Claim{Runner: runner, Node: node, Kinds: []string{kind}, Limit: 1})
		refusedInput(e, "claim", err, "now")
		_, err = e.Recover(ctx(), now, runner)
		refusedInput(e, "recover", err, "now")
		_, err = e.Cancel(ctx(), now, task.ID)
		refusedInput(e, "cancel", err, "now")
		_, err = e.Retry(ctx(), now, task.ID)
		refusedInput(e, "retry", err, "now")
	}
	same(e.T, "afterwards", e.get(task.ID), task)
}

func inputNames(e *env) {
	for what, name := range badNames {
		_, err := e.Last(ctx(), name, "key")
		refusedInput(e, "last, kind: "+what, err, "kind")
		_, err = e.Last(ctx(), kind, name)
		refusedInput(e, "last, key: "+what, err, "key")
		_, err = e.Recover(ctx(), e.now, name)
		refusedInput(e, "recover: "+what, err, "runner")
		_, err = e.Running(ctx(), name, node)
		refusedInput(e, "running, runner: "+what, err, "runner")
		_, err = e.Running(ctx(), runner, name)
		refusedInput(e, "running, node: "+what, err, "node")
		_, err = e.CancelRequests(ctx(), name, node)
		refusedInput(e, "cancel requests, runner: "+what, err, "runner")
		_, err = e.CancelRequests(ctx(), runner, name)
		refusedInput(e, "cancel requests, node: "+what, err, "node")
	}
}
