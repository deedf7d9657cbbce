package remote_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/internal/servertest"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// server is shared by the tests that need PostgreSQL.
var server = servertest.NewSharedPostgres()

// workerURL is in the environment of a test program that is to be a listener on a database until it is killed.
const workerURL = "TASKRUNNER_TEST_WORKER_URL"

// beWorker tells its address, and each task that it begins. One that is DOOMED ends no task of kind "slow".
func beWorker(url string) {
	ctx := context.Background()
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(os.Stdout, format+"\n", args...) }
	db, err := postgres.Open(ctx, url, postgres.Config{})
	if err != nil {
		say("%v", err)
		return
	}
	run := func(ctx context.Context, doomed bool) string {
		task, _ := actors.CurrentTask(ctx)
		say("began %s", task.TaskID)
		if doomed {
			<-ctx.Done()
		}
		return os.Getenv("NAME")
	}
	runner, err := actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{Name: "shared", Store: db, MaxChildren: 10, Kinds: actors.Kinds{
		actors.Kind("quick", func(ctx context.Context, _ int) (string, error) { return run(ctx, false), nil }),
		actors.Kind("slow", func(ctx context.Context, _ int) (string, error) { return run(ctx, os.Getenv("DOOMED") != ""), nil }),
	}})
	if err != nil {
		say("%v", err)
		return
	}
	listener, err := remote.Listen(ctx, "127.0.0.1:0", remote.ListenConfig{Runners: []*actors.TaskRunner{runner}})
	if err != nil {
		say("%v", err)
		return
	}
	say("listens %s", listener.Addr())
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // until it is killed, or the test is
}

// worker is such a program.
type worker struct {
	*exec.Cmd
	address string
	began   chan string // the ids of its tasks
}

func startWorker(t *testing.T, url, name string, env ...string) *worker {
	t.Helper()
	w := &worker{Cmd: exec.CommandContext(t.Context(), os.Args[0]), began: make(chan string, 10_000)}
	w.Env = append(append(os.Environ(), workerURL+"="+url, "NAME="+name), env...)
	w.Stderr = os.Stderr
	_, err := w.StdinPipe()
	must(t, err)
	out, err := w.StdoutPipe()
	must(t, err)
	must(t, w.Start())
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "listens ") {
		t.Fatalf("worker %s says %q", name, lines.Text())
	}
	w.address = strings.TrimPrefix(lines.Text(), "listens ")
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines.Scan() {
			w.began <- strings.TrimPrefix(lines.Text(), "began ")
		}
	}()
	t.Cleanup(func() {
		w.kill()
		<-read
		_ = w.Wait()
	})
	return w
}

func (w *worker) kill() { _ = w.Process.Kill() }

// TestSeveralListenersOnOneDatabase: each task runs once, whoever has accepted it, and those of one that is killed run and are
// awaited elsewhere.
func TestSeveralListenersOnOneDatabase(t *testing.T) {
	url, ctx := server.NewDatabase(t), t.Context()
	workers := []*worker{startWorker(t, url, "doomed", "DOOMED=1"), startWorker(t, url, "second"), startWorker(t, url, "third")}
	addresses := []string{workers[0].address, workers[1].address, workers[2].address}
	client, err := remote.Dial(ctx, strings.Join(addresses, ","), remote.DialConfig{})
	must(t, err)
	defer func() { must(t, client.Close(ctx)) }()
	r := client.Runner("shared")
	awaitAll := func(tasks []*remote.Handle[string]) map[string]int {
		byWorker := map[string]int{}
		for _, task := range tasks {
			where, err := task.Await(ctx)
			must(t, err)
			byWorker[where]++
		}
		return byWorker
	}
	for up := 0; up < len(workers); { // or the first to be there would get all
		must(t, client.Ready(ctx))
		up = 0
		for _, n := range client.Nodes() {
			if n.Up {
				up++
			}
		}
	}
	quick, err := remote.RunMany[string](ctx, r, "quick", make([]int, 300))
	must(t, err)
	if by := awaitAll(quick); len(by) != len(workers) {
		t.Errorf("they have run at %v, want that all have some", by)
	}
	slow, err := remote.RunMany[string](ctx, r, "slow", make([]int, 60))
	must(t, err)
	isSlow := map[string]bool{}
	for _, task := range slow {
		isSlow[task.ID()] = true
	}
	runs := map[string]int{}
	for id := range workers[0].began {
		if runs[id]++; isSlow[id] {
			break
		}
	}
	workers[0].kill()
	if by := awaitAll(slow); by["doomed"] != 0 {
		t.Errorf("slow tasks have ended at %v", by)
	}
	later, err := remote.RunMany[string](ctx, r, "quick", make([]int, 20))
	must(t, err)
	awaitAll(later)

	all := append(append(quick, slow...), later...)
	for _, w := range workers {
		for len(w.began) > 0 {
			runs[<-w.began]++
		}
	}
	for _, task := range append(quick, later...) {
		if runs[task.ID()] != 1 {
			t.Errorf("task %s has run %d times", task.ID(), runs[task.ID()])
		}
	}
	told := map[string]int{}
	for task, err := range r.Outcomes(ctx, store.FromOldest) {
		must(t, err)
		if told[task.ID]++; len(told) == len(all) {
			break
		}
	}
	for _, task := range all {
		if told[task.ID()] != 1 {
			t.Errorf("task %s has %d outcomes", task.ID(), told[task.ID()])
		}
	}
}

// TestTheOrderOfOneSender is kept, also when its connection is lost time and again.
func TestTheOrderOfOneSender(t *testing.T) {
	const tasks = 10_000
	ctx := t.Context()
	ran := make(chan int, tasks)
	note := actors.Kind("note", func(_ context.Context, n int) (int, error) { ran <- n; return n, nil })
	db, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "tasks.db"), sqlite.Config{})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	w := start(t, actors.TaskRunnerConfig{Name: "numbers", Store: db, Kinds: actors.Kinds{note}})
	proxy := servertest.Proxy(t, "tcp", w.listener.Addr().String())
	client, err := remote.Dial(ctx, proxy.Address(), remote.DialConfig{MaxUnacknowledged: 1000}) // so that some are under way at each cut
	must(t, err)
	defer func() { must(t, client.Close(ctx)) }()
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		for n := range tasks {
			if <-ran; n%2000 == 1000 {
				proxy.Cut()
			}
		}
	}()
	args := make([]int, tasks)
	for i := range args {
		args[i] = i
	}
	handles, err := remote.RunMany[int](ctx, client.Runner("numbers"), "note", args)
	must(t, err)
	for i, task := range handles {
		if got, err := task.Await(ctx); got != i || err != nil {
			t.Fatalf("task %d: %d, %v", i, got, err)
		}
	}
	<-cut
	var last int64
	records := map[string]store.Task{}
	for task, err := range w.runner.Outcomes(ctx, store.FromOldest) {
		must(t, err)
		if records[task.ID] = task; len(records) == tasks {
			break
		}
	}
	for i, task := range handles {
		recorded := records[task.ID()]
		if recorded.Seq <= last || recorded.Run != 1 {
			t.Fatalf("task %d is recorded at %d behind %d, and has run %d times", i, recorded.Seq, last, recorded.Run)
		}
		last = recorded.Seq
	}
	if len(ran) > 0 {
		t.Errorf("%d have run twice", len(ran))
	}
}

// TestCursorsOutliveBothSides: who comes back with a cursor, or under the name of a subscriber, is told what it has not had, and nothing
// else, whichever side was restarted meanwhile.
func TestCursorsOutliveBothSides(t *testing.T) {
	path, ctx := filepath.Join(t.TempDir(), "tasks.db"), t.Context()
	p := startAt(t, path, "127.0.0.1:0")
	seen, acknowledged := map[string]int{}, map[string]int{}
	var cursor int64
	for round := range 4 {
		client, err := remote.Dial(ctx, p.address, remote.DialConfig{})
		must(t, err)
		r := client.Runner("numbers")
		_, err = remote.RunMany[int](ctx, r, "double", []int{1, 2, 3})
		must(t, err)
		for range 3 {
			for task, err := range r.Outcomes(ctx, cursor) {
				must(t, err)
				seen[task.ID]++
				cursor = task.Pos
				break
			}
		}
		mailer := r.Subscribe("mailer", store.FromOldest)
		for range 3 {
			for task, err := range mailer.Outcomes(ctx) {
				must(t, err)
				acknowledged[task.ID]++
				must(t, mailer.Acknowledge(ctx, task.Pos))
				break
			}
		}
		must(t, client.Close(ctx))
		if round%2 == 0 {
			p.stop(t)
			p = startAt(t, path, p.address)
		}
	}
	p.stop(t)
	for name, told := range map[string]map[string]int{"a cursor": seen, "a subscriber": acknowledged} {
		if len(told) != 12 {
			t.Errorf("with %s: told of %d tasks, want 12", name, len(told))
		}
		for id, n := range told {
			if n != 1 {
				t.Errorf("with %s: told %d times of task %s", name, n, id)
			}
		}
	}
}

// TestTheTraceTravels from the context of Run into that of the handler.
func TestTheTraceTravels(t *testing.T) {
	type key struct{}
	config := actors.TaskRunnerConfig{
		Name: "numbers",
		Kinds: actors.Kinds{actors.Kind("trace", func(ctx context.Context, _ string) (string, error) {
			trace, _ := ctx.Value(key{}).(string)
			return trace, nil
		})},
		TraceContext: func(ctx context.Context, carrier map[string]string) context.Context {
			return context.WithValue(ctx, key{}, carrier["traceparent"])
		},
	}
	both(t, config, func(t *testing.T, ctx context.Context, _ *remote.Runner, w *world) {
		client, err := remote.Dial(ctx, w.listener.Addr().String(), remote.DialConfig{TraceContext: func(ctx context.Context, carrier map[string]string) {
			carrier["traceparent"], _ = ctx.Value(key{}).(string)
		}})
		must(t, err)
		defer func() { must(t, client.Close(ctx)) }()
		for _, want := range []string{"of the first", "of the second"} {
			task, err := remote.Run[string](context.WithValue(ctx, key{}, want), client.Runner("numbers"), "trace", "")
			must(t, err)
			if got, err := task.Await(ctx); got != want || err != nil {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		}
	})
}

// TestAMonitorTellsOfTheEndOfARunner, while its listener goes on.
func TestAMonitorTellsOfTheEndOfARunner(t *testing.T) {
	w := start(t, actors.TaskRunnerConfig{Name: "numbers", Kinds: kinds()})
	downs := make(chan error, 1)
	r := w.client.Runner("numbers")
	r.Monitor(func(down messages.Down) { downs <- down.Reason })
	task, err := remote.Run[int](t.Context(), r, "double", 1) // the monitor was asked for before
	must(t, err)
	_, err = task.Await(t.Context())
	must(t, err)
	must(t, w.runner.Stop(t.Context()))
	select {
	case reason := <-downs:
		if !messages.Is(reason, messages.Shutdown) && !messages.Is(reason, messages.Normal) {
			t.Errorf("%v, want why the runner has ended", reason)
		}
	case <-time.After(10 * time.Second):
		t.Error("no down")
	}
	must(t, w.client.Ready(t.Context()))
}
