package actors_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

func runMessage(kind, args string) messages.Run {
	return messages.Run{TaskID: uuid.Must(uuid.NewV7()).String(), Kind: kind, Args: []byte(args)}
}

func TestSubmitAnswersEachByItself(t *testing.T) {
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		runs := []messages.Run{
			runMessage("double", "21"), runMessage("none", "1"), runMessage("double", `"x"`), {Kind: "double"}, runMessage("discard", `""`),
			runMessage("double", "3"),
		}
		runs[5].ScheduledAt = time.Now().Add(time.Hour)
		began := time.Now()
		answers := r.Submit(ctx, runs)
		_, badArgs := errors.AsType[*actors.ArgsError](answers[2].Err)
		if !errors.Is(answers[1].Err, actors.ErrUnknownKind) || !badArgs || !errors.Is(answers[3].Err, store.ErrInvalid) {
			t.Errorf("the bad ones: %v; %v; %v", answers[1].Err, answers[2].Err, answers[3].Err)
		}
		for i, want := range map[int]string{0: "42", 4: "boom", 5: "6"} {
			if answers[i].Err != nil || answers[i].TaskID != runs[i].TaskID {
				t.Fatalf("run %d: %+v", i, answers[i])
			}
			outcome, err := answers[i].Outcome(ctx)
			if got := said(outcome); got != want || err != nil {
				t.Errorf("run %d: %s, %v, want %s", i, got, err, want)
			}
		}
		if took := time.Since(began); took < time.Hour || took > time.Hour+time.Second {
			t.Errorf("the one for in an hour ended after %s", took)
		}
	})
}

// said is what a completion message says, as text.
func said(outcome any) string {
	switch m := outcome.(type) {
	case messages.Completed:
		if m.Result != nil {
			return string(m.Result)
		}
		return fmt.Sprint(m.Value)
	case messages.Failed:
		return m.Reason.Error()
	case messages.Cancelled:
		return "cancelled"
	}
	return fmt.Sprintf("%T", outcome)
}

func saidOr(outcome any, err error) string {
	if err != nil {
		return err.Error()
	}
	return said(outcome)
}

func TestSubmitTakesWhatThereIsRoomFor(t *testing.T) {
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds(), MaxChildren: 2, MaxWaiting: 3}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		runs := make([]messages.Run, 9)
		for i := range runs {
			runs[i] = runMessage("sleep", "1000000000")
		}
		for i, answer := range r.Submit(ctx, runs) {
			if fits := i < 5; (answer.Err == nil) != fits || !fits && !errors.Is(answer.Err, actors.ErrFull) {
				t.Errorf("run %d: %v", i, answer.Err)
			}
		}
	})
}

func TestSubmitKeepsTheOrder(t *testing.T) {
	db := store.NewMemory()
	withRunner(t, actors.TaskRunnerConfig{Name: "test", Kinds: kinds(), Store: db, MaxChildren: 1}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		runs := make([]messages.Run, 50)
		for i := range runs {
			runs[i] = runMessage([]string{"double", "none", "nil"}[i%3], "1")
			if i%3 == 2 {
				runs[i].Args = []byte(`""`)
			}
		}
		last := int64(0)
		for i, answer := range r.Submit(ctx, runs) {
			if i%3 == 1 {
				continue
			}
			if answer.Err != nil || answer.Seq <= last {
				t.Errorf("run %d has the number %d behind %d, %v", i, answer.Seq, last, answer.Err)
			}
			last = answer.Seq
		}
	})
}

func TestASubmittedIDIsAcceptedOnce(t *testing.T) {
	withRunner(t, actors.TaskRunnerConfig{Kinds: kinds(), Store: store.NewMemory()}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		run := runMessage("double", "21")
		first := r.Submit(ctx, []messages.Run{run})[0]
		if _, err := first.Outcome(ctx); err != nil || first.Existed {
			t.Fatalf("the first: %+v, %v", first, err)
		}
		again := r.Submit(ctx, []messages.Run{run, run})
		for i, answer := range again {
			outcome, err := answer.Outcome(ctx)
			if !answer.Existed || answer.Err != nil || said(outcome) != "42" || err != nil {
				t.Errorf("repeated %d: %+v, %v, %v", i, answer, outcome, err)
			}
		}
	})
}

// TestNotifyTellsOnce: of tasks that run, that wait, and that have ended before.
func TestNotifyTellsOnce(t *testing.T) {
	bothWays(t, actors.TaskRunnerConfig{Kinds: kinds(), MaxChildren: 1}, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		runs := []messages.Run{runMessage("sleep", "1000000000"), runMessage("sleep", "1000000000"), runMessage("sleep", "1000000000")}
		told := make(chan string, 10)
		var stops []func()
		for i, answer := range r.Submit(ctx, runs) {
			stops = append(stops, answer.Notify(func(id string, outcome any, err error) {
				if id != runs[i].TaskID {
					t.Errorf("told of %s, want %s", id, runs[i].TaskID)
				}
				told <- fmt.Sprintf("%d: %s", i, saidOr(outcome, err))
			}).Stop)
			if i == 2 {
				stops[2]()
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		ended := r.Submit(ctx, []messages.Run{runMessage("double", "1")})[0]
		if _, err := ended.Outcome(ctx); err != nil {
			t.Fatal(err)
		}
		stops = append(stops, ended.Notify(func(_ string, outcome any, err error) { told <- fmt.Sprintf("3: %s", saidOr(outcome, err)) }).Stop)
		synctest.Wait()
		for _, stop := range stops {
			stop()
		}
		close(told)
		want := map[string]bool{`0: "slept"`: true, `1: "slept"`: true, `3: 2`: true, `0: slept`: true, `1: slept`: true}
		count := 0
		for text := range told {
			if count++; !want[text] {
				t.Errorf("told %s", text)
			}
		}
		if count != 3 {
			t.Errorf("told %d times, want 3: nobody is told who has stopped it", count)
		}
	})
}

type traceKey struct{}

// TestAHandlerContinuesTheTrace that its message came with; what was asked for without one has none.
func TestAHandlerContinuesTheTrace(t *testing.T) {
	traced := actors.Kind("trace", func(ctx context.Context, _ string) (string, error) {
		trace, _ := ctx.Value(traceKey{}).(string)
		if _, ok := actors.CurrentTask(ctx); !ok {
			return "", errors.New("the context is not a handler's any more")
		}
		return trace, nil
	})
	config := actors.TaskRunnerConfig{
		Kinds: actors.Kinds{traced},
		TraceContext: func(ctx context.Context, carrier map[string]string) context.Context {
			return context.WithValue(ctx, traceKey{}, "of "+carrier["traceparent"])
		},
	}
	bothWays(t, config, func(t *testing.T, ctx context.Context, r *actors.TaskRunner) {
		runs := []messages.Run{runMessage("trace", `""`), runMessage("trace", `""`)}
		runs[0].TraceContext = map[string]string{"traceparent": "the caller"}
		answers := r.Submit(ctx, runs)
		for i, want := range []string{"of the caller", ""} {
			outcome, err := answers[i].Outcome(ctx)
			if got := said(outcome); strings.Trim(got, `"`) != want || err != nil {
				t.Errorf("run %d: %s, %v, want %q", i, got, err, want)
			}
		}
	})
}
