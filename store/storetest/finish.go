package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/taskrunner-go/taskrunner/store"
)

var finishTests = []test{
	{"completed", finishCompleted},
	{"failed, to be tried again", finishRetryable},
	{"failed for good", finishDiscarded},
	{"cancelled", finishCancelled},
	{"snoozed", finishSnoozed},
	{"given back", finishGivenBack},
	{"of an earlier run", finishFenced},
	{"the same outcome twice", finishTwice},
	{"of unknown and unborn tasks", finishUnknown},
	{"one refused item fails alone", finishAlone},
	{"several outcomes of one task in one batch", finishSameTask},
	{"a wish to cancel is not lost", finishCancelRequested},
	{"a long batch", finishMany},
	{"an empty batch", finishNothing},
	{"long and broken error texts", finishTexts},
	{"results of every size", finishResults},
	{"the result of an earlier outcome", finishEarlierResult},
	{"the newest of a long history", finishHistory},
	{"progress", reportProgress},
	{"one refused progress fails alone", reportAlone},
}

// finishCompleted: a task that completes leaves no history, whatever else the outcome carries.
func finishCompleted(e *env) {
	task := e.running()
	e.pass(time.Second)
	o := e.outcome(task, store.Completed)
	o.Error = "not kept: it completed"
	got := e.finished(o)
	task.State, task.Result, task.FinishedAt, task.Pos = store.Completed, o.Result, micro(e.now), got.Pos
	same(e.T, "completed", got, task)
}

func finishRetryable(e *env) {
	task := e.running()
	e.pass(time.Second)
	o := e.outcome(task, store.Retryable)
	o.Result, o.Stack = []byte("not kept: it failed"), "goroutine 1"
	got := e.finished(o)
	task.State, task.Node, task.ScheduledAt = store.Retryable, "", micro(o.ScheduledAt)
	task.History = []store.Attempt{{
		Attempt: 1, Run: 1, Node: node, State: store.Retryable, StartedAt: task.StartedAt, FinishedAt: micro(e.now),
		Error: "it failed", Stack: "goroutine 1",
	}}
	same(e.T, "retryable", got, task)
}

func finishDiscarded(e *env) {
	task := e.running()
	e.pass(time.Second)
	o := e.outcome(task, store.Discarded)
	o.Error = "" // an error may have no text; that it failed is history all the same
	got := e.finished(o)
	task.State, task.FinishedAt, task.Pos = store.Discarded, micro(e.now), got.Pos
	task.History = []store.Attempt{{
		Attempt: 1, Run: 1, Node: node, State: store.Discarded, StartedAt: task.StartedAt, FinishedAt: micro(e.now),
	}}
	same(e.T, "discarded", got, task)
}

func finishCancelled(e *env) {
	for _, text := range []string{"", "the user left"} {
		task := e.running()
		o := e.outcome(task, store.Cancelled)
		o.Error = text
		got := e.finished(o)
		if got.State != store.Cancelled || !got.FinishedAt.Equal(micro(e.now)) || got.Node != node {
			e.Errorf("cancelled: %+v", got)
		}
		if len(got.History) != 1 || got.History[0].State != store.Cancelled || got.History[0].Error != text {
			e.Errorf("cancelled with error %q: history is %v", text, got.History)
		}
	}
}

// finishSnoozed: snoozing is no failure; it uses no attempt, and the run number rises all the same.
func finishSnoozed(e *env) {
	e.insert(newTask())
	check(e.T, e.finish(e.outcome(e.claimOne(), store.Retryable)))
	e.pass(time.Minute)
	second := e.claimOne()
	o := e.outcome(second, store.Scheduled)
	o.Error = "not kept: snoozing is no failure"
	got := e.finished(o)
	if got.State != store.Scheduled || got.Attempt != 1 || got.Run != 2 || len(got.History) != 1 {
		e.Errorf("snoozed in attempt 2, run 2: %+v", got)
	}
	if !got.ScheduledAt.Equal(micro(o.ScheduledAt)) || !got.FinishedAt.IsZero() || !got.StartedAt.Equal(second.StartedAt) {
		e.Errorf("snoozed: %+v", got)
	}
	e.pass(time.Minute)
	if third := e.claimOne(); third.Attempt != 2 || third.Run != 3 {
		e.Errorf("after snoozing: attempt %d, run %d, want 2 and 3", third.Attempt, third.Run)
	}
}

// finishGivenBack: what a stopping node gives back has not been tried, and keeps its place in the queue.
func finishGivenBack(e *env) {
	first := e.insert(newTask())[0]
	e.pass(time.Second)
	e.insert(newTask())
	task := e.claimOne()
	o := e.outcome(task, store.Available)
	o.ScheduledAt = e.now.Add(time.Hour) // ignored
	got := e.finished(o)
	want := first
	want.Run, want.StartedAt = 1, micro(e.now)
	same(e.T, "given back", got, want)
	if again := e.claimOne(); again.ID != first.ID || again.Run != 2 || again.Attempt != 1 {
		e.Errorf("what was given back lost its place: %+v", again)
	}
}

// finishFenced: a run that was taken from its node cannot overwrite what happened since.
func finishFenced(e *env) {
	e.insert(newTask())
	first := e.claimOne()
	check(e.T, e.finish(e.outcome(first, store.Available)))
	second := e.claimOne()
	for _, to := range outcomes {
		refusedAs(e.T, string(to)+" of run 1 while run 2 is under way", e.finish(e.outcome(first, to)), store.ErrFenced)
	}
	future := second
	future.Run++
	refusedAs(e.T, "a run that was not started", e.finish(e.outcome(future, store.Completed)), store.ErrFenced)
	same(e.T, "afterwards", e.get(first.ID), second)
	check(e.T, e.finish(e.outcome(second, store.Completed)))
}

// finishTwice: an outcome whose answer was lost is given again. The first one stays.
func finishTwice(e *env) {
	for _, to := range outcomes {
		task := e.running()
		o := e.outcome(task, to)
		got := e.finished(o)
		e.pass(time.Second)
		o.FinishedAt, o.Result, o.Error = e.now, []byte("second"), "second"
		if err := e.finish(o); err != nil {
			e.Errorf("%s twice: %v", to, err)
		}
		same(e.T, string(to)+" twice", e.get(task.ID), got)
	}
}

func finishUnknown(e *env) {
	o := e.outcome(store.Task{ID: newID(), Run: 1}, store.Completed)
	refusedAs(e.T, "unknown task", e.finish(o), store.ErrNotFound)
	unborn := e.insert(newTask())[0]
	unborn.Run = 1
	refusedAs(e.T, "a task that has never run", e.finish(e.outcome(unborn, store.Completed)), store.ErrFenced)
}

// finishAlone has every kind of refusal in one batch, and the good one last.
func finishAlone(e *env) {
	good, fenced, done, invalid := e.running(), e.running(), e.running(), e.running()
	check(e.T, e.finish(e.outcome(done, store.Discarded)))
	unknown := store.Task{ID: newID(), Run: 1}
	batch := []store.Outcome{
		e.outcome(unknown, store.Completed), e.outcome(fenced, store.Completed), e.outcome(done, store.Completed),
		e.outcome(invalid, store.Completed), e.outcome(good, store.Completed),
	}
	batch[1].Run = 7
	batch[3].Result = make([]byte, store.MaxResult+1)
	refused, err := e.Finish(ctx(), batch)
	check(e.T, err)
	refusedAs(e.T, "unknown", refused[0], store.ErrNotFound)
	refusedAs(e.T, "fenced", refused[1], store.ErrFenced)
	refusedMove(e.T, "done already", refused[2], store.Discarded, store.Completed)
	refusedAs(e.T, "invalid", refused[3], store.ErrInvalid)
	check(e.T, refused[4])
	if got := e.get(good.ID); got.State != store.Completed {
		e.Errorf("the good one is %s", got.State)
	}
	same(e.T, "the invalid one", e.get(invalid.ID), invalid)
}

// finishSameTask: in one batch, outcomes are judged in their order as in several.
func finishSameTask(e *env) {
	task := e.running()
	batch := []store.Outcome{
		e.outcome(task, store.Retryable), e.outcome(task, store.Retryable), e.outcome(task, store.Completed),
	}
	refused, err := e.Finish(ctx(), batch)
	check(e.T, err)
	check(e.T, refused[0])
	check(e.T, refused[1])
	refusedMove(e.T, "another outcome of the same run", refused[2], store.Retryable, store.Completed)
	if got := e.get(task.ID); got.State != store.Retryable || len(got.History) != 1 {
		e.Errorf("afterwards: %+v", got)
	}
	sameCounts(e, runner, map[store.State]int64{store.Retryable: 1})
}

// finishCancelRequested: a task whose cancel was requested must not wait to run again.
func finishCancelRequested(e *env) {
	for _, to := range outcomes {
		task := e.running()
		_, err := e.Cancel(ctx(), e.now, task.ID)
		check(e.T, err)
		o := e.outcome(task, to)
		want, answer := to, error(nil)
		if to.Waiting() {
			want, answer = store.Cancelled, store.ErrCancelled
		}
		if err := e.finish(o); !errors.Is(err, answer) {
			e.Errorf("%s after a wish to cancel: answer %v, want %v", to, err, answer)
		}
		got := e.get(task.ID)
		if got.State != want || !got.CancelRequested || !got.FinishedAt.Equal(micro(e.now)) {
			e.Errorf("%s after a wish to cancel: %+v", to, got)
		}
		if err := e.finish(o); !errors.Is(err, answer) {
			e.Errorf("%s after a wish to cancel, twice: %v", to, err)
		}
		same(e.T, "twice", e.get(task.ID), got)
	}
}

func finishMany(e *env) {
	tasks := newTasks(1000)
	for i := range tasks {
		tasks[i].Node = node
	}
	batch := make([]store.Outcome, len(tasks))
	for i, task := range e.insert(tasks...) {
		batch[i] = e.outcome(task, outcomes[i%len(outcomes)])
	}
	refused, err := e.Finish(ctx(), batch)
	check(e.T, err)
	for i := range refused {
		check(e.T, refused[i])
	}
	for i := 0; i < len(batch); i += 97 {
		if got := e.get(batch[i].TaskID); got.State != batch[i].To || string(got.Result) != string(batch[i].Result) {
			e.Errorf("%d is %s with %q, want %s with %q", i, got.State, got.Result, batch[i].To, batch[i].Result)
		}
	}
	counts, err := e.Counts(ctx(), runner)
	check(e.T, err)
	if counts[store.Running] != 0 {
		e.Errorf("still running: %d", counts[store.Running])
	}
}

func finishNothing(e *env) {
	refused, err := e.Finish(ctx(), nil)
	check(e.T, err)
	if len(refused) != 0 {
		e.Errorf("got %v", refused)
	}
	check(e.T, e.Report(ctx(), nil))
}

// finishTexts: an error is whatever a handler made of it; to refuse it would lose the outcome.
func finishTexts(e *env) {
	cases := []struct{ name, text string }{
		{"ten megabytes", strings.Repeat("ä", 5<<20)},
		{"just too long", strings.Repeat("x", store.MaxErrorText+1)},
		{"just short enough", strings.Repeat("x", store.MaxErrorText)},
		{"not UTF-8", "a\xffb\xc3"},
		{"with NUL", "a\x00b"},
		{"all NUL", strings.Repeat("\x00", store.MaxErrorText)},
		{"control characters", "\x1b[31mred\r\n\ttab"},
	}
	for _, c := range cases {
		o := e.outcome(e.running(), store.Discarded)
		o.Error, o.Stack = c.text, c.text
		entry := e.finished(o).History[0]
		for _, got := range []string{entry.Error, entry.Stack} {
			checkText(e, c.name, got, c.text)
		}
	}
}

func checkText(e *env, name, got, given string) {
	if len(got) > store.MaxErrorText || !utf8.ValidString(got) || strings.Contains(got, "\x00") {
		e.Errorf("%s: %d bytes, valid UTF-8: %v", name, len(got), utf8.ValidString(got))
	}
	fits := len(given) <= store.MaxErrorText && utf8.ValidString(given) && !strings.Contains(given, "\x00")
	if fits && got != given {
		e.Errorf("%s: changed although it can be kept: %q", name, got)
	}
	if len(given) > store.MaxErrorText {
		start, note, _ := strings.Cut(got, "… [")
		if want := fmt.Sprintf("%d bytes cut]", len(given)-len(start)); note != want || !strings.HasPrefix(given, start) {
			e.Errorf("%s: the note is %q, want %q", name, note, want)
		}
	}
}

func finishResults(e *env) {
	for _, result := range [][]byte{nil, {}, {0, 255}, make([]byte, store.MaxResult)} {
		o := e.outcome(e.running(), store.Completed)
		o.Result = result
		if got := e.finished(o).Result; !bytes.Equal(got, result) {
			e.Errorf("got %d bytes, want %d", len(got), len(result))
		}
	}
}

// finishEarlierResult: a task that is retried keeps its result for the runs that follow, until an outcome of its own.
func finishEarlierResult(e *env) {
	for _, last := range []store.State{store.Completed, store.Discarded, store.Cancelled} {
		task := e.running()
		first := e.finished(e.outcome(task, store.Completed)).Result
		retry := func() store.Task {
			_, err := e.Retry(ctx(), e.now, task.ID)
			check(e.T, err)
			return e.claimOne()
		}
		for _, wait := range []store.State{store.Retryable, store.Scheduled, store.Available} {
			run := retry()
			if string(run.Result) != string(first) {
				e.Errorf("a run after a retry got the result %q, want %q", run.Result, first)
			}
			if got := e.finished(e.outcome(run, wait)).Result; string(got) != string(first) {
				e.Errorf("%s: the result is %q, want %q", wait, got, first)
			}
		}
		o, want := e.outcome(retry(), last), ""
		if last == store.Completed {
			o.Result, want = []byte("another"), "another"
		}
		if got := e.finished(o).Result; string(got) != want {
			e.Errorf("%s: the result is %q, want %q", last, got, want)
		}
	}
}

// finishHistory: of a task that fails again and again the newest entries are kept.
func finishHistory(e *env) {
	task, other := e.running(), e.running()
	check(e.T, e.finish(e.outcome(other, store.Discarded)))
	const runs = store.MaxHistory + 5
	for range runs {
		o := e.outcome(task, store.Discarded)
		o.Error = fmt.Sprint("run ", task.Run)
		check(e.T, e.finish(o))
		_, err := e.Retry(ctx(), e.now, task.ID)
		check(e.T, err)
		task = e.claimOne()
	}
	kept := e.get(task.ID).History
	if len(kept) != store.MaxHistory || kept[0].Error != fmt.Sprint("run ", runs-store.MaxHistory+1) || kept[len(kept)-1].Error != fmt.Sprint("run ", runs) {
		e.Errorf("%d entries are kept, from %q to %q", len(kept), kept[0].Error, kept[len(kept)-1].Error)
	}
	if n := len(e.get(other.ID).History); n != 1 {
		e.Errorf("another task has %d entries, want 1", n)
	}
}

// reportProgress: reports come late and in any order; only those of the current run count.
func reportProgress(e *env) {
	task, ended, waiting := e.running(), e.running(), e.insert(newTask())[0]
	check(e.T, e.finish(e.outcome(ended, store.Completed)))
	check(e.T, e.Report(ctx(), []store.Progress{
		{TaskID: task.ID, Run: 1, Fraction: 0.25}, {TaskID: task.ID, Run: 1, Fraction: 0.75}, {TaskID: task.ID, Run: 2, Fraction: 1},
		{TaskID: ended.ID, Run: 1, Fraction: 0.5}, {TaskID: waiting.ID, Run: 1, Fraction: 0.5}, {TaskID: newID(), Run: 1},
	}))
	task.Progress = 0.75
	same(e.T, "the current run", e.get(task.ID), task)
	for _, other := range []store.Task{ended, waiting} {
		if got := e.get(other.ID).Progress; got != 0 {
			e.Errorf("progress of what does not run: %v", got)
		}
	}
	if got := e.finished(e.outcome(task, store.Retryable)).Progress; got != 0.75 {
		e.Errorf("progress of the last run is %v, want 0.75", got)
	}
}

func reportAlone(e *env) {
	task := e.running()
	err := e.Report(ctx(), []store.Progress{
		{TaskID: task.ID, Run: 1, Fraction: 2}, {TaskID: "x", Run: 1}, {TaskID: task.ID, Run: 1, Fraction: 0.5},
	})
	refusedAs(e.T, "progress of 2", err, store.ErrInvalid)
	if got := e.get(task.ID).Progress; got != 0.5 {
		e.Errorf("progress is %v, want the valid one, 0.5", got)
	}
}
