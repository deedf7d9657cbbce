package remote_test

import (
	"path/filepath"
	"testing"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// BenchmarkRunAndAwait has both sides in one process, so that the memory of both is counted. How fast it is beside others, make bench-remote tells.
func BenchmarkRunAndAwait(b *testing.B) { benchmarkRunAndAwait(b, nil) }

func benchmarkRunAndAwait(b *testing.B, db store.Store) {
	ctx := b.Context()
	runner, err := actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{Name: "numbers", Kinds: kinds(), MaxChildren: 20_000, Store: db})
	mustB(b, err)
	defer func() { mustB(b, runner.Stop(ctx)) }()
	listener, err := remote.Listen(ctx, "127.0.0.1:0", remote.ListenConfig{Runners: []*actors.TaskRunner{runner}, DrainTimeout: -1})
	mustB(b, err)
	defer func() { mustB(b, listener.Stop(ctx)) }()
	client, err := remote.Dial(ctx, listener.Addr().String(), remote.DialConfig{})
	mustB(b, err)
	defer func() { mustB(b, client.Close(ctx)) }()
	r := client.Runner("numbers")
	b.ReportAllocs()
	b.SetParallelism(128)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			task, err := remote.Run[int](ctx, r, "double", 21)
			if err == nil {
				_, err = task.Await(ctx)
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkRunAndAwaitSQLite is the same with a runner that records.
func BenchmarkRunAndAwaitSQLite(b *testing.B) {
	db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "tasks.db"), sqlite.Config{})
	mustB(b, err)
	defer func() { mustB(b, db.Close()) }()
	benchmarkRunAndAwait(b, db)
}

func mustB(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
