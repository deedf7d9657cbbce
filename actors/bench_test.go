package actors_test

import (
	"context"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/store"
)

// BenchmarkTask is what one supervised, cancellable, reported task costs, from Run to its completion, beside a goroutine
// that sends its result on a channel.
func BenchmarkTask(b *testing.B) {
	work := func(context.Context) (int, error) { return 1, nil }
	runner := func(b *testing.B, db store.Store) *actors.TaskRunner {
		r, err := actors.StartTaskRunner(b.Context(), actors.TaskRunnerConfig{
			Name: "bench", Store: db, MaxChildren: 1000,
			Kinds: actors.Kinds{actors.Kind("work", func(context.Context, int) (int, error) { return 1, nil })},
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = r.Stop(context.Background()) })
		return r
	}
	b.Run("goroutine", func(b *testing.B) {
		b.ReportAllocs()
		results := make(chan int, 1024)
		go func() {
			for range b.N {
				go func() { results <- 1 }()
			}
		}()
		for range b.N {
			<-results
		}
	})
	b.Run("func", func(b *testing.B) {
		b.ReportAllocs()
		r := runner(b, nil)
		handles := make(chan *actors.Handle[int], 1024)
		go func() {
			for range b.N {
				h, err := actors.RunFunc(b.Context(), r, work, actors.WithWait())
				if err != nil {
					b.Error(err)
				}
				handles <- h
			}
		}()
		for range b.N {
			if _, err := (<-handles).Await(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("kind in memory store", func(b *testing.B) {
		b.ReportAllocs()
		r := runner(b, store.NewMemory())
		handles := make(chan *actors.Handle[int], 1024)
		go func() {
			for range b.N {
				h, err := actors.Run[int](b.Context(), r, "work", 1, actors.WithWait())
				if err != nil {
					b.Error(err)
				}
				handles <- h
			}
		}()
		for range b.N {
			if _, err := (<-handles).Await(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkAsync is what one task costs from its start to its value, beside a goroutine that sends its result on a channel; the
// ratio is of one and the same run, since the machine may be busy.
func BenchmarkAsync(b *testing.B) {
	work := func(context.Context) (int, error) { return 1, nil }
	system := actors.NewSystem(actors.SystemConfig{})
	b.Cleanup(func() { _ = system.Stop(context.Background()) })
	tasks, err := actors.StartTaskSupervisor(b.Context(), system, actors.TaskSupervisorConfig{})
	if err != nil {
		b.Fatal(err)
	}
	goroutine := func() {
		result := make(chan int, 1)
		go func() { result <- 1 }()
		<-result
	}
	for _, bench := range []struct {
		name  string
		under actors.Starter
	}{{"unsupervised", actors.Unsupervised(system)}, {"supervised", tasks}} {
		b.Run(bench.name, func(b *testing.B) {
			began := time.Now()
			for range b.N {
				goroutine()
			}
			plain := time.Since(began)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				task, err := actors.AsyncNoLink(b.Context(), bench.under, work)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := task.Await(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(plain), "goroutines/op")
		})
	}
}
