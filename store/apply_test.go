package store_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/store"
)

var now = time.Date(2026, time.March, 4, 5, 6, 7, 891_234_567, time.FixedZone("east", 2*60*60))

func TestMicro(t *testing.T) {
	for _, c := range []struct{ given, want time.Time }{
		{time.Time{}, time.Time{}},
		{now, time.Date(2026, time.March, 4, 3, 6, 7, 891_234_000, time.UTC)},
		{time.Unix(0, 999), time.Unix(0, 0).UTC()},
		{time.Unix(-1, 999_999_999), time.Unix(-1, 999_999_000).UTC()}, // down, not towards 1970
	} {
		if got := store.Micro(c.given); got != c.want {
			t.Errorf("%v: got %v, want %v", c.given, got, c.want)
		}
	}
}

func TestTimeoutIsRoundedUp(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{
		0: 0, 1: time.Microsecond, time.Microsecond: time.Microsecond, time.Second + 1: time.Second + time.Microsecond,
		math.MaxInt64: (math.MaxInt64 / 1000) * 1000,
	} {
		if got := store.ApplyInsert(now, store.NewTask{Timeout: given}).Timeout; got != want {
			t.Errorf("%v: got %v, want %v", given, got, want)
		}
	}
}

// TestOutcomesKeepToTheTable: whatever the task and the outcome are, the move is in the table, a refused one changes
// nothing, and given again it changes nothing either.
func TestOutcomesKeepToTheTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		task := store.Task{
			State: rapid.SampledFrom(store.States[:]).Draw(t, "state"), Run: rapid.Int64Range(1, 3).Draw(t, "run"),
			Attempt: rapid.IntRange(1, 3).Draw(t, "attempt"), CancelRequested: rapid.Bool().Draw(t, "cancel"),
		}
		o := store.Outcome{
			To:  rapid.SampledFrom(store.States[:]).Filter(func(s store.State) bool { return s != store.Running }).Draw(t, "to"),
			Run: rapid.Int64Range(1, 3).Draw(t, "run of the outcome"), FinishedAt: now, ScheduledAt: now,
		}
		before := task
		changed, err := store.ApplyOutcome(&task, o)
		if changed && (err != nil || before.State != store.Running || !store.CanMove(before.State, task.State)) {
			t.Fatalf("%s became %s, error %v", before.State, task.State, err)
		}
		if !changed && (task.State != before.State || task.Attempt != before.Attempt || len(task.History) != 0) {
			t.Fatalf("not changed, but is %+v, was %+v", task, before)
		}
		if errors.Is(err, store.ErrFenced) != (before.Run != o.Run) {
			t.Fatalf("run %d, outcome of run %d: %v", before.Run, o.Run, err)
		}
		if err != nil {
			return
		}
		if again, err := store.ApplyOutcome(&task, o); again || err != nil {
			t.Fatalf("the same again: %v, %v", again, err)
		}
	})
}

func TestQuerySize(t *testing.T) {
	for limit, want := range map[int]int{0: 50, 1: 1, store.MaxList: store.MaxList} {
		if got := (store.Query{Limit: limit}).Size(); got != want {
			t.Errorf("limit %d: got %d, want %d", limit, got, want)
		}
	}
}
