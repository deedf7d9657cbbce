package sqlite_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// BenchmarkLife is what a task costs that there is room for: inserted as running, and finished as completed, in batches of so
// many by one caller. Besides the time it reports what the processors did, which other work on the machine disturbs less.
func BenchmarkLife(b *testing.B) {
	for _, size := range []int{1000, 16, 1} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s := open(b, tempFile(b))
			benchTasksOf(b, size, func(tasks []store.NewTask) { live(b, s, tasks) })
		})
	}
}

// benchTasksOf measures f, which does something to so many tasks, without the making of the tasks; b.StopTimer would stop the
// world.
func benchTasksOf(b *testing.B, size int, f func(tasks []store.NewTask)) {
	b.Helper()
	n := 0
	var used, took time.Duration
	for b.Loop() {
		tasks := plainTasks(n, size)
		n += size
		began, start := time.Now(), processorTime()
		f(tasks)
		used += processorTime() - start
		took += time.Since(began)
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(n), "ns/task")
	b.ReportMetric(float64(used.Nanoseconds())/float64(n), "cpu-ns/task")
}

// live is the life of tasks that there is room for.
func live(b testing.TB, s *sqlite.Store, tasks []store.NewTask) {
	inserted, err := s.Insert(b.Context(), benchTime, tasks)
	if err != nil {
		b.Fatal(err)
	}
	outcomes := make([]store.Outcome, len(inserted))
	for i := range inserted {
		outcomes[i] = completed(inserted[i].Task)
	}
	finish(b, s, outcomes)
}

// BenchmarkQueue is what a task costs that waits first: inserted, claimed, and finished as completed.
func BenchmarkQueue(b *testing.B) {
	for _, size := range []int{1000, 16, 1} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s := open(b, tempFile(b))
			claim := store.Claim{Runner: "bench", Node: "node-1", Kinds: []string{"bench.nothing"}, Limit: size}
			benchTasksOf(b, size, func(tasks []store.NewTask) {
				for i := range tasks {
					tasks[i].Node = ""
				}
				if _, err := s.Insert(b.Context(), benchTime, tasks); err != nil {
					b.Fatal(err)
				}
				claimed, err := s.Claim(b.Context(), benchTime, claim)
				if err != nil || len(claimed.Tasks) != size {
					b.Fatal(len(claimed.Tasks), err)
				}
				outcomes := make([]store.Outcome, size)
				for i := range claimed.Tasks {
					outcomes[i] = completed(claimed.Tasks[i])
				}
				finish(b, s, outcomes)
			})
		})
	}
}

// BenchmarkPrune deletes finished tasks, a thousand at a time.
func BenchmarkPrune(b *testing.B) {
	s := open(b, tempFile(b))
	benchTasksOf(b, 1000, func(tasks []store.NewTask) {
		live(b, s, tasks)
		n, err := s.Prune(b.Context(), store.Expiry{Runner: "bench", Completed: benchTime.Add(time.Hour)})
		if err != nil || n != len(tasks) {
			b.Fatal(n, err)
		}
	})
}

// BenchmarkInTx lends transactions in which one task is inserted and one completed, beside a row of an application.
func BenchmarkInTx(b *testing.B) {
	s := open(b, tempFile(b))
	err := s.InTx(b.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.SQL().Exec(`CREATE TABLE songs (title TEXT)`)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	benchTasksOf(b, 1, func(tasks []store.NewTask) {
		inserted, err := s.Insert(b.Context(), benchTime, tasks)
		if err != nil {
			b.Fatal(err)
		}
		err = s.InTx(b.Context(), func(tx *sqlite.Tx) error {
			next := plainTasks(0, 1)
			next[0].Node = ""
			if _, err := tx.Insert(b.Context(), benchTime, next); err != nil {
				return err
			}
			if _, err := tx.SQL().Exec(`INSERT INTO songs VALUES ('Blue Train')`); err != nil {
				return err
			}
			return tx.Complete(b.Context(), completed(inserted[0].Task))
		})
		if err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkGet reads one task while nobody writes, and while one caller inserts and finishes as fast as it can.
func BenchmarkGet(b *testing.B) {
	for _, writing := range []bool{false, true} {
		b.Run(fmt.Sprintf("writing=%v", writing), func(b *testing.B) {
			s := open(b, tempFile(b))
			live(b, s, plainTasks(0, 1000))
			id := plainTasks(0, 1)
			live(b, s, id)
			ctx, cancel := context.WithCancel(b.Context())
			var writer sync.WaitGroup
			if writing {
				writer.Go(func() {
					for ctx.Err() == nil {
						live(b, s, plainTasks(0, 16))
					}
				})
			}
			for b.Loop() {
				if _, err := s.Get(b.Context(), id[0].ID); err != nil {
					b.Fatal(err)
				}
			}
			cancel()
			writer.Wait()
		})
	}
}

// stored are the numbers of finished tasks with which BenchmarkStored measures; ten million take some minutes, and 4 GB.
var stored = flag.String("stored", "10000,1000000", "for how many stored finished tasks BenchmarkStored measures, with commas")

// BenchmarkStored is BenchmarkLife in batches of 1000 on stores that have so many finished tasks already, by turns, so that what else
// the machine does disturbs all alike.
func BenchmarkStored(b *testing.B) {
	const size = 1000
	var stores []*sqlite.Store
	sizes := strings.Split(*stored, ",")
	for _, text := range sizes {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		s := open(b, tempFile(b))
		for done := 0; done < n; done += size {
			live(b, s, plainTasks(done, size))
		}
		stores = append(stores, s)
	}
	used := make([]time.Duration, len(stores))
	n := 0
	for b.Loop() {
		for i, s := range stores {
			tasks := plainTasks(n, size)
			start := processorTime()
			live(b, s, tasks)
			used[i] += processorTime() - start
		}
		n += size
	}
	for i, text := range sizes {
		b.ReportMetric(float64(used[i].Nanoseconds())/float64(n), "cpu-ns/task-at-"+text)
	}
}

// plainTasks are tasks with 100 bytes of arguments and no key.
func plainTasks(from, n int) []store.NewTask {
	tasks := make([]store.NewTask, n)
	for i := range tasks {
		tasks[i] = store.NewTask{
			ID: uuid.Must(uuid.NewV7()).String(), Runner: "bench", Kind: "bench.nothing", Node: "node-1", Fresh: true, MaxAttempts: 3,
			Args: fmt.Appendf(nil, `{"n":%094d}`, from+i),
		}
	}
	return tasks
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
		live(b, s, benchTasks(n, 10_000, "node-1"))
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
		"list no kind":    {Kind: "none"},
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
