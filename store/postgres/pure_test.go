package postgres_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
)

// TestWatch is the table of who is dead, in half seconds.
func TestWatch(t *testing.T) {
	const half = 500 * time.Millisecond
	type look struct {
		at   int // in half seconds; negative: contact is lost then
		beat int64
	}
	for _, c := range []struct {
		name  string
		looks []look
		dead  int // the first look at which the node is dead; -1: it never is
	}{
		{"beats", []look{{0, 1}, {1, 1}, {2, 2}, {3, 2}, {4, 3}, {5, 3}, {6, 4}, {7, 4}}, -1},
		{"stops", []look{{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}}, 6},
		{"stops after a beat", []look{{0, 1}, {1, 2}, {2, 2}, {3, 2}, {4, 2}, {5, 2}, {6, 2}, {7, 2}}, 7},
		{"beats at the last moment", []look{{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 2}, {7, 2}, {11, 2}}, -1},
		{"contact is lost in between", []look{{0, 1}, {1, 1}, {2, 1}, {-3, 0}, {4, 1}, {5, 1}, {6, 1}, {7, 1}, {8, 1}, {9, 1}}, -1},
		{"and then it is gone for long", []look{{0, 1}, {-1, 0}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}, {7, 1}, {8, 1}}, 8},
		{"we were stopped", []look{{0, 1}, {1, 1}, {100, 1}, {101, 1}, {102, 1}, {103, 1}, {104, 1}, {105, 1}}, -1},
		{"we were stopped, and then it is gone", []look{{0, 1}, {1, 1}, {100, 1}, {101, 1}, {102, 1}, {103, 1}, {104, 1}, {105, 1}, {106, 1}}, 8},
		{"slow looks", []look{{0, 1}, {3, 1}, {6, 1}}, 2},
		{"the beat goes back", []look{{0, 5}, {1, 5}, {2, 5}, {3, 1}, {4, 1}, {5, 1}, {6, 1}}, -1},
	} {
		w := postgres.NewWatch()
		dead := -1
		for i, l := range c.looks {
			if l.at < 0 {
				w.Lose()
				continue
			}
			if found := w.Look(time.Hour+time.Duration(l.at)*half, map[string]int64{"node": l.beat}); len(found) > 0 && dead < 0 {
				dead = i
			}
		}
		if dead != c.dead {
			t.Errorf("%s: dead at look %d, want %d", c.name, dead, c.dead)
		}
	}
	w := postgres.NewWatch()
	w.Look(0, map[string]int64{"a": 1, "b": 1})
	for at := half; at < 3*time.Second; at += half {
		w.Look(at, map[string]int64{"a": 1})
	}
	if dead := w.Look(3*time.Second, map[string]int64{"a": 1, "b": 1}); !slices.Equal(dead, []string{"a"}) {
		t.Errorf("dead are %v: one that was away and came back is new", dead)
	}
}

func drawTask(t *rapid.T) store.Task {
	at := store.Micro(time.UnixMicro(rapid.Int64Range(-1e15, 1e16).Draw(t, "inserted")))
	return store.Task{
		ID: uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")).String(), Runner: runner, Kind: kind, Node: node, State: store.Running, Run: 1,
		Attempt: 1, Key: rapid.String().Draw(t, "key"), Args: nilled(rapid.SliceOf(rapid.Byte()).Draw(t, "args")), Priority: rapid.IntRange(0, 9).Draw(t, "priority"),
		MaxAttempts: rapid.IntRange(1, 1<<31-1).Draw(t, "max"), Timeout: time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "timeout")) * time.Microsecond,
		InsertedAt: at, ScheduledAt: at, StartedAt: at,
	}
}

func nilled(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// TestBundle: what is packed is unpacked as it was.
func TestBundle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tasks := rapid.SliceOfN(rapid.Custom(drawTask), 1, 50).Draw(t, "tasks")
		for i := range tasks {
			tasks[i].Seq = int64(i)
		}
		got, err := postgres.Bundled(tasks)
		if err != nil || !reflect.DeepEqual(got, tasks) {
			t.Fatalf("got %+v, error %v, want %+v", got, err, tasks)
		}
	})
}

// FuzzBundle: damaged bundles are errors.
func FuzzBundle(f *testing.F) {
	f.Add(1, make([]byte, 40))
	f.Add(2, append(append(make([]byte, 32), 1), make([]byte, 30)...))
	f.Add(1, append(append(make([]byte, 16), 1, 0, 0, 0, 0), 0xff, 0xff, 0xff, 0xff, 0x0f))
	f.Add(-1, []byte{})
	f.Fuzz(func(t *testing.T, n int, tasks []byte) {
		if got, err := postgres.Unbundled(n, tasks); err == nil && len(got) != n {
			t.Errorf("%d tasks of %d, and no error", len(got), n)
		}
	})
}

// FuzzSpool: whatever is in a file, only whole records are read of it, and what was written is.
func FuzzSpool(f *testing.F) {
	o := store.Outcome{
		TaskID: "019a3c1e-7b5a-7c3e-8f00-0123456789ab", Run: 3, To: store.Retryable, Result: []byte{0, 1}, ScheduledAt: moment, FinishedAt: moment,
		Error: "it failed", Stack: "goroutine 1",
	}
	f.Add(postgres.SpoolRecord(o), []byte{}, uint(3))
	f.Add([]byte{}, postgres.SpoolRecord(o), uint(0))
	f.Add([]byte{0, 0, 0, 1, 2, 3, 4, 5, 6}, []byte{0xff, 0xff, 0xff, 0xff}, uint(9))
	f.Fuzz(func(t *testing.T, before, behind []byte, torn uint) {
		first, used := postgres.SpoolRecords(before)
		if used > len(before) {
			t.Fatalf("%d bytes of %d", used, len(before))
		}
		whole := append(slices.Clone(before[:used]), postgres.SpoolRecord(o)...)
		got, n := postgres.SpoolRecords(append(slices.Clone(whole), behind...))
		if n < len(whole) || len(got) <= len(first) || !reflect.DeepEqual(got[len(first)], o) {
			t.Fatalf("read %d bytes of %d, %+v", n, len(whole), got)
		}
		cut := whole[:used+int(torn%uint(len(whole)-used))]
		if got, n := postgres.SpoolRecords(cut); n != used || len(got) != len(first) {
			t.Fatalf("of a torn record %d bytes were read", n-used)
		}
	})
}

// FuzzPayload: what comes from a channel that anybody may write to.
func FuzzPayload(f *testing.F) {
	f.Add("3 - assets")
	f.Add("999 a b")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if from, runner, signals, ok := postgres.ParsePayload(text); ok {
			again, name, same, ok := postgres.ParsePayload(postgres.Payload(from, runner, signals))
			if !ok || again != from || name != runner || same != signals {
				t.Errorf("%q became %q, %q, %d", text, again, name, same)
			}
		}
	})
}

func TestIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")).String()
		if got := postgres.CanonicalID(id); got != id {
			t.Fatalf("%s became %s", id, got)
		}
	})
}
