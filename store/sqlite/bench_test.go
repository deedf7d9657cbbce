package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

var benchTime = time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)

// benchTask is a task as the assets job inserts it: some 120 bytes of arguments and a key.
func benchTask(i int, node string) store.NewTask {
	source := fmt.Sprintf("https://old.example.com/assets/2026/03/picture-%09d.png", i)
	return store.NewTask{
		ID: uuid.Must(uuid.NewV7()).String(), Runner: "assets", Kind: "asset.move", Key: source, Node: node,
		Args:        []byte(`{"source":"` + source + `","destination":"s3://new/2026/03/picture.png"}`),
		MaxAttempts: 3, Timeout: time.Minute,
	}
}

func benchTasks(from, n int, node string) []store.NewTask {
	tasks := make([]store.NewTask, n)
	for i := range tasks {
		tasks[i] = benchTask(from+i, node)
	}
	return tasks
}

// BenchmarkSyncedAppend is the yardstick: what the disk takes for 4 KiB that are appended and synced.
func BenchmarkSyncedAppend(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "append"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 4096)
	for b.Loop() {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInsertOne inserts tasks one by one, each as one call, from so many goroutines.
func BenchmarkInsertOne(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := open(b, tempFile(b))
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ResetTimer()
			for range callers {
				wg.Go(func() {
					for {
						i := left.Add(-1)
						if i < 0 {
							return
						}
						if _, err := s.Insert(context.Background(), benchTime, []store.NewTask{benchTask(int(i), "")}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkInsertBatch inserts tasks in calls of so many; the figure is per task.
func BenchmarkInsertBatch(b *testing.B) {
	for _, size := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprintf("tasks=%d", size), func(b *testing.B) {
			s := open(b, tempFile(b))
			for b.Loop() {
				if _, err := s.Insert(b.Context(), benchTime, benchTasks(0, size, "")); err != nil {
					b.Fatal(err)
				}
			}
			perTask(b, size)
		})
	}
}

func perTask(b *testing.B, size int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/task")
}

// BenchmarkLife is what a task costs that there is room for: inserted as running, and finished, in batches of 1000.
func BenchmarkLife(b *testing.B) {
	s := open(b, tempFile(b))
	const size = 1000
	outcomes := make([]store.Outcome, size)
	n := 0
	for b.Loop() {
		b.StopTimer()
		tasks := benchTasks(n, size, "node-1")
		n += size
		b.StartTimer()
		inserted, err := s.Insert(b.Context(), benchTime, tasks)
		if err != nil {
			b.Fatal(err)
		}
		for i := range inserted {
			outcomes[i] = completed(inserted[i].Task)
		}
		finish(b, s, outcomes)
	}
	perTask(b, size)
}

func completed(task store.Task) store.Outcome {
	return store.Outcome{
		TaskID: task.ID, Run: task.Run, To: store.Completed, FinishedAt: benchTime,
		Result: []byte(`{"bytes":12345,"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}`),
	}
}

func finish(b testing.TB, s *sqlite.Store, outcomes []store.Outcome) {
	refused, err := s.Finish(b.Context(), outcomes)
	if err != nil {
		b.Fatal(err)
	}
	for _, err := range refused {
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLarge works on a store of a million finished tasks and a large backlog. It takes half a minute to fill.
func BenchmarkLarge(b *testing.B) {
	path := tempFile(b)
	s := open(b, path)
	const finished, backlog = 1_000_000, 200_000
	for n := 0; n < finished; n += 10_000 {
		inserted, err := s.Insert(b.Context(), benchTime, benchTasks(n, 10_000, "node-1"))
		if err != nil {
			b.Fatal(err)
		}
		outcomes := make([]store.Outcome, len(inserted))
		for i := range inserted {
			outcomes[i] = completed(inserted[i].Task)
		}
		finish(b, s, outcomes)
	}
	for n := 0; n < backlog; n += 10_000 {
		if _, err := s.Insert(b.Context(), benchTime, benchTasks(n, 10_000, "")); err != nil {
			b.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err == nil {
		b.Logf("the file has %d MB", info.Size()>>20)
	}
	benchLarge(b, s)
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			s = open(b, path)
		}
	})
}

func benchLarge(b *testing.B, s *sqlite.Store) {
	claim := store.Claim{Runner: "assets", Node: "node-1", Kinds: []string{"asset.move", "other"}, Limit: 64}
	b.Run("claim 64", func(b *testing.B) {
		for b.Loop() {
			claimed, err := s.Claim(b.Context(), benchTime, claim)
			if err != nil || len(claimed.Tasks) != 64 {
				b.Fatal(len(claimed.Tasks), err)
			}
		}
	})
	lists := map[string]store.Query{
		"list":            {},
		"list completed":  {States: []store.State{store.Completed}},
		"list discarded":  {States: []store.State{store.Discarded}},
		"list running":    {States: []store.State{store.Running}},
		"list rare kind":  {Kind: "rare"},
		"list unfinished": {States: []store.State{store.Scheduled, store.Available, store.Running, store.Retryable}},
	}
	for name, query := range lists {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.List(b.Context(), query); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("counts", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Counts(b.Context(), "assets"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("get", func(b *testing.B) {
		page, err := s.List(b.Context(), store.Query{})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := s.Get(b.Context(), page[0].ID); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cancel requests", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.CancelRequests(b.Context(), "assets", "node-1"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
