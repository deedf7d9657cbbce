package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
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
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) { benchLife(b, open(b, tempFile(b)), size) })
	}
}

func benchLife(b *testing.B, s *sqlite.Store, size int) {
	outcomes := make([]store.Outcome, size)
	n := 0
	var used, took time.Duration // without the making of the tasks; b.StopTimer would stop the world
	for b.Loop() {
		tasks := plainTasks(n, size)
		n += size
		began, start := time.Now(), processorTime()
		inserted, err := s.Insert(b.Context(), benchTime, tasks)
		if err != nil {
			b.Fatal(err)
		}
		for i := range inserted {
			outcomes[i] = completed(inserted[i].Task)
		}
		finish(b, s, outcomes)
		used += processorTime() - start
		took += time.Since(began)
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(n), "ns/task")
	b.ReportMetric(float64(used.Nanoseconds())/float64(n), "cpu-ns/task")
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

// processorTime is what this process has used of the processors, in all its threads.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
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
