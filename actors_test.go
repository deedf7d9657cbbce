package taskrunner_test

import (
	"context"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// The seed's own module, and what it makes of a run that is well, one that fails, one that returns something else, and one
// that crashes. In the original the crash takes the runner and all other tasks with it, and is told to nobody.
func Example_taskRunner() {
	ctx := context.Background()
	told := make(chan string)
	runner, err := actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{
		Name: "task-runner",
		HandleInfo: func(_ context.Context, message any) {
			switch m := message.(type) {
			case messages.Completed:
				told <- fmt.Sprint("done: ", m.Value)
			case messages.Failed:
				told <- fmt.Sprint("failed: ", m.Reason)
			}
		},
	})
	if err != nil {
		panic(err)
	}
	defer func() { _ = runner.Stop(ctx) }()

	for _, work := range []func(context.Context) (any, error){
		func(context.Context) (any, error) { return "logo.svg moved", nil },            // ok
		func(context.Context) (any, error) { return nil, errors.New("logo.svg: 404") }, // error
		func(context.Context) (any, error) { return 42, nil },                          // other
		func(context.Context) (any, error) { panic("boom") },                           // crash
	} {
		if _, err := actors.RunFunc(ctx, runner, work); err != nil {
			panic(err)
		}
		fmt.Println(<-told)
	}
	// Output:
	// done: logo.svg moved
	// failed: logo.svg: 404
	// done: 42
	// failed: panic: boom
}

type resize struct{ Image string }

type resized struct{ Pixels int }

// A service with a kind of task, on a database. The runner is stopped in the middle of a task; another one, which could be
// the same program after a restart, goes on with it.
func Example_durable() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(ctx, filepath.Join(dir, "tasks.db"), sqlite.Config{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()

	begun := make(chan struct{}, 2)
	config := func(work func(ctx context.Context) error) actors.TaskRunnerConfig {
		return actors.TaskRunnerConfig{
			Name: "images", Store: db, DrainTimeout: -1, // cancel at once when stopped
			Kinds: actors.Kinds{actors.Kind("image.resize", func(ctx context.Context, r resize) (resized, error) {
				begun <- struct{}{}
				return resized{Pixels: 64 * len(r.Image)}, work(ctx)
			})},
		}
	}
	first, err := actors.StartTaskRunner(ctx, config(func(ctx context.Context) error {
		<-ctx.Done() // it does not get done before the stop
		return ctx.Err()
	}))
	if err != nil {
		panic(err)
	}
	task, err := actors.Run[resized](ctx, first, "image.resize", resize{Image: "cat.png"})
	if err != nil {
		panic(err)
	}
	<-begun
	if err := first.Stop(ctx); err != nil {
		panic(err)
	}
	if _, err := task.Await(ctx); errors.Is(err, actors.ErrStopping) {
		fmt.Println("the first runner stopped before the task was done")
	}

	second, err := actors.StartTaskRunner(ctx, config(func(context.Context) error { return nil }))
	if err != nil {
		panic(err)
	}
	defer func() { _ = second.Stop(ctx) }()
	result, err := actors.Await[resized](ctx, second, task.ID())
	if err != nil {
		panic(err)
	}
	recorded, err := db.Get(ctx, task.ID())
	if err != nil {
		panic(err)
	}
	fmt.Println("the second one did it:", result.Pixels, "pixels at attempt", recorded.Attempt)
	// Output:
	// the first runner stopped before the task was done
	// the second one did it: 448 pixels at attempt 1
}

// TestTheWholeStory tells the story through the public API: many requests at once, one task or many each, none waits for
// another's work, all are handled, and everything is in the database.
func TestTheWholeStory(t *testing.T) {
	ctx := t.Context()
	db, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "tasks.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	release := make(chan struct{})
	outcomes := make(chan any, 1000)
	runner, err := actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{
		Name: "story", Store: db, MaxChildren: 1000,
		HandleInfo: func(_ context.Context, message any) { outcomes <- message },
		Kinds: actors.Kinds{
			actors.Kind("work", func(_ context.Context, n int) (int, error) {
				<-release
				switch n % 4 {
				case 1:
					return 0, messages.Discard(fmt.Errorf("no %d", n))
				case 2:
					panic(n)
				}
				return n * n, nil
			}, actors.WithMaxAttempts(1)),
		},
	})
	if err != nil {
		t.Fatal(err)
	}

	const requests, perRequest = 20, 10
	handles := make(chan *actors.Handle[int], requests*perRequest)
	for request := range requests {
		go func() {
			numbers := make([]int, perRequest)
			for i := range numbers {
				numbers[i] = request*perRequest + i
			}
			started, err := actors.RunMany[int](ctx, runner, "work", numbers)
			if err != nil {
				t.Error(err)
			}
			for _, handle := range started {
				handles <- handle
			}
		}()
	}
	var all []*actors.Handle[int]
	for range requests * perRequest {
		all = append(all, <-handles) // answered, though no task can end yet
	}
	close(release)
	for range all {
		<-outcomes
	}

	byState := map[store.State]int{}
	for _, handle := range all {
		_, err := handle.Await(ctx)
		task, getErr := db.Get(ctx, handle.ID())
		if getErr != nil {
			t.Fatal(getErr)
		}
		if (err == nil) != (task.State == store.Completed) || !task.State.Final() {
			t.Errorf("Await says %v, the database %s", err, task.State)
		}
		byState[task.State]++
	}
	if byState[store.Completed] != 100 || byState[store.Discarded] != 100 {
		t.Errorf("the database has %v, want 100 completed and 100 discarded", byState)
	}
	if err := runner.Stop(ctx); err != nil {
		t.Error(err)
	}
}

var (
	goBlock     = regexp.MustCompile("(?s)```go\n(package main.*?)```")
	outputBlock = regexp.MustCompile("(?s)It prints:\n\n```text\n(.*?)```")
)

// TestTheProgramOfTheREADME runs the program that the README shows, and compares what it prints.
func TestTheProgramOfTheREADME(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, output := goBlock.FindSubmatch(readme), outputBlock.FindSubmatch(readme)
	if program == nil || output == nil {
		t.Fatal("the README shows no program, or not what it prints")
	}
	if lines := strings.Count(string(program[1]), "\n"); lines > 30 {
		t.Errorf("the program has %d lines; it should fit on a screen of 30", lines)
	}
	if _, err := parser.ParseFile(token.NewFileSet(), "main.go", program[1], 0); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(".", "_readme-program-") //nolint:usetesting // inside of the module; the underscore hides it from ./...
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), program[1], 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a cold build takes most of it
	defer cancel()
	command := exec.CommandContext(ctx, "go", "run", "./"+filepath.Base(dir))
	got, err := command.CombinedOutput()
	if err != nil || string(got) != string(output[1]) {
		t.Errorf("%v, printed:\n%s\nwant:\n%s", err, got, output[1])
	}
}
