package actors_test

import (
	"context"
	"testing"

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
