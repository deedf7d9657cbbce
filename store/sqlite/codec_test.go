package sqlite_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// drawTime gives a time that store.ValidTime lets pass, as every store keeps it.
func drawTime(t *rapid.T, label string) time.Time {
	first, last := time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	return time.UnixMicro(rapid.Int64Range(first.UnixMicro(), last.UnixMicro()).Draw(t, label)).UTC()
}

func drawBytes(t *rapid.T, label string) []byte {
	b := rapid.SliceOf(rapid.Byte()).Draw(t, label)
	if len(b) == 0 {
		return nil // what a database gives for none
	}
	return b
}

func TestBodyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := store.Task{
			Run: rapid.Int64Min(0).Draw(t, "run"), Attempt: rapid.IntMin(0).Draw(t, "attempt"), MaxAttempts: rapid.IntMin(1).Draw(t, "max"),
			Priority: rapid.IntRange(0, store.MaxPriority).Draw(t, "priority"), Node: rapid.String().Draw(t, "node"),
			Timeout:    time.Duration(rapid.Int64Range(0, math.MaxInt64/1000).Draw(t, "timeout")) * time.Microsecond,
			InsertedAt: drawTime(t, "inserted"), ScheduledAt: drawTime(t, "scheduled"), Args: drawBytes(t, "args"),
			Progress: rapid.Float64Range(0, 1).Draw(t, "progress"), CancelRequested: rapid.Bool().Draw(t, "cancel"),
		}
		if rapid.Bool().Draw(t, "has started") {
			want.StartedAt = drawTime(t, "started")
		}
		hasHistory := rapid.Bool().Draw(t, "history")
		got, history, err := sqlite.BodyRoundTrip(want, hasHistory)
		if err != nil || history != hasHistory || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v, %v\nwant %+v, %v", got, history, err, want, hasHistory)
		}
	})
}

func TestBundleRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []sqlite.Entry
		for range rapid.IntRange(0, 5).Draw(t, "tasks") {
			e := sqlite.Entry{
				Seq: rapid.Int64Min(0).Draw(t, "seq"), Kind: rapid.Int64Min(0).Draw(t, "kind"), Key: rapid.String().Draw(t, "key"),
				Body: drawBytes(t, "body"), Result: drawBytes(t, "result"),
			}
			copy(e.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
			want = append(want, e)
		}
		got, err := sqlite.BundleRoundTrip(want)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
		}
	})
}

func TestHistoryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []store.Attempt
		for range rapid.IntRange(0, 5).Draw(t, "entries") {
			a := store.Attempt{
				Attempt: rapid.IntMin(0).Draw(t, "attempt"), Run: rapid.Int64Min(0).Draw(t, "run"), Node: rapid.String().Draw(t, "node"),
				State: rapid.SampledFrom(store.States[:]).Draw(t, "state"), FinishedAt: drawTime(t, "finished"),
				Error: rapid.String().Draw(t, "error"), Stack: rapid.String().Draw(t, "stack"),
			}
			if rapid.Bool().Draw(t, "has started") {
				a.StartedAt = drawTime(t, "started")
			}
			want = append(want, a)
		}
		got, err := sqlite.HistoryRoundTrip(want)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
		}
	})
}

// FuzzDecode decodes what a damaged file may hold: whatever that is, the answer is a value or store.ErrCorrupt, and takes no more
// memory than the bytes that are there.
func FuzzDecode(f *testing.F) {
	body := sqlite.EncodeBody(store.Task{Run: 1, Attempt: 1, MaxAttempts: 3, Node: "n", InsertedAt: benchTime, ScheduledAt: benchTime, Args: []byte("args")})
	f.Add(body)
	f.Add(sqlite.EncodeBundle(body, nil, body))
	f.Add([]byte{})
	f.Add([]byte{2})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})      // so many tasks
	f.Add(bytes.Repeat([]byte{0xff}, 20))                                       // a number that is none
	f.Add(append([]byte{1, 1}, bytes.Repeat([]byte{0x80}, 40)...))              // one that does not end
	f.Add(append(bytes.Repeat([]byte{1}, 20), 0xff, 0xff, 0xff, 0xff, 0xff, 7)) // a length beyond the end
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := sqlite.DecodeBundle(b)
		damaged(t, err)
		if err == nil {
			if again, err := sqlite.BundleRoundTrip(entries); err != nil || !reflect.DeepEqual(again, entries) {
				t.Errorf("a bundle %x is %+v, and that is %+v, %v", b, entries, again, err)
			}
		}
		task, hasHistory, err := sqlite.DecodeBody(b)
		damaged(t, err)
		if err == nil {
			if again, history, err := sqlite.BodyRoundTrip(task, hasHistory); err != nil || history != hasHistory || !sameTask(again, task) {
				t.Errorf("a body %x is %+v, and that is %+v, %v", b, task, again, err)
			}
		}
		_, err = sqlite.DecodeHistory(b)
		damaged(t, err)
	})
}

// sameTask knows that NaN is not itself.
func sameTask(a, b store.Task) bool {
	if math.IsNaN(a.Progress) && math.IsNaN(b.Progress) {
		a.Progress, b.Progress = 0, 0
	}
	return reflect.DeepEqual(a, b)
}

func damaged(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("got error %v, want one that is %q", err, store.ErrCorrupt)
	}
}
