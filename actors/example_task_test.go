package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// Outside of all processes a task is a goroutine whose outcome, also a panic, is awaited.
func ExampleAsync() {
	ctx := context.Background()
	system := actors.NewSystem(actors.SystemConfig{})
	defer func() { _ = system.Stop(ctx) }()
	size, err := actors.Async(ctx, actors.Unsupervised(system), func(context.Context) (int, error) { return 512, nil })
	if err != nil {
		log.Fatal(err)
	}
	broken, err := actors.Async(ctx, actors.Unsupervised(system), func(context.Context) (int, error) { panic("no such file") })
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(size.Await(ctx))
	fmt.Println(broken.Await(ctx))
	fmt.Println(size.Await(ctx))
	// Output:
	// 512 <nil>
	// 0 panic: no such file
	// 0 actors: the outcome of the task was given out before
}

// copier is a GenServer that starts tasks. It keeps their refs, never waits for one, and handles what they send.
type copier struct {
	system *actors.System
	tasks  *actors.TaskSupervisor
	copies map[messages.Ref]string
	done   chan string
}

func (c *copier) HandleCast(ctx context.Context, message any) error {
	file := message.(string)
	task, err := actors.AsyncNoLink(ctx, c.tasks, func(context.Context) (int, error) {
		if file == "b.png" {
			return 0, errors.New("no such file")
		}
		return len(file), nil
	})
	if err != nil { // the supervisor is full, or not there: no reason for the server to end
		c.done <- fmt.Sprint(file, ": ", err)
		return nil
	}
	c.copies[task.Ref()] = file
	return nil
}

func (c *copier) HandleInfo(ctx context.Context, message any) error {
	switch m := message.(type) {
	case messages.TaskReply:
		c.system.Demonitor(ctx, m.Ref) // no Down any more
		c.done <- fmt.Sprint(c.copies[m.Ref], ": ", m.Value, " bytes")
		delete(c.copies, m.Ref)
	case messages.Down: // it ended without a value
		c.done <- fmt.Sprint(c.copies[m.Ref], ": ", m.Reason)
		delete(c.copies, m.Ref)
	}
	return nil
}

// A server keeps the refs of its tasks in a map, and gets their outcomes as messages.
func ExampleTask() {
	ctx := context.Background()
	system := actors.NewSystem(actors.SystemConfig{})
	defer func() { _ = system.Stop(ctx) }()
	tasks, err := actors.StartTaskSupervisor(ctx, system, actors.TaskSupervisorConfig{})
	if err != nil {
		log.Fatal(err)
	}
	c := &copier{system: system, tasks: tasks, copies: map[messages.Ref]string{}, done: make(chan string)}
	server, err := actors.StartGenServer(ctx, system, c, actors.GenServerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, file := range []string{"a.png", "b.png"} {
		server.Cast(ctx, file)
		fmt.Println(<-c.done)
	}
	// Output:
	// a.png: 5 bytes
	// b.png: no such file
}

// Yield waits for a while and may be tried again; Shutdown ends what takes too long.
func ExampleTask_Yield() {
	ctx := context.Background()
	system := actors.NewSystem(actors.SystemConfig{})
	defer func() { _ = system.Stop(ctx) }()
	task, err := actors.Async(ctx, actors.Unsupervised(system), func(ctx context.Context) (string, error) {
		<-ctx.Done() // told to stop, it gives what it has
		return "half of it", nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Yield(ctx, time.Millisecond))
	fmt.Println(task.Shutdown(ctx, time.Minute))
	// Output:
	//  false <nil>
	// half of it true <nil>
}

// Each input runs in a task of its own; the results come in the order of the inputs.
func ExampleAsyncStream() {
	ctx := context.Background()
	system := actors.NewSystem(actors.SystemConfig{})
	defer func() { _ = system.Stop(ctx) }()
	sizes, err := actors.AsyncStream(ctx, actors.Unsupervised(system), slices.Values([]string{"a", "bb", "ccc"}),
		func(_ context.Context, name string) (int, error) { return len(name), nil }, actors.StreamOptions{MaxConcurrency: 3})
	if err != nil {
		log.Fatal(err)
	}
	for size, err := range sizes {
		fmt.Println(size, err)
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 3 <nil>
}

// A task supervisor limits its tasks, and tells all of them to stop when it stops.
func ExampleTaskSupervisor() {
	ctx := context.Background()
	system := actors.NewSystem(actors.SystemConfig{})
	defer func() { _ = system.Stop(ctx) }()
	tasks, err := actors.StartTaskSupervisor(ctx, system, actors.TaskSupervisorConfig{MaxChildren: 1, Shutdown: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	work := func(ctx context.Context) error {
		<-ctx.Done()
		fmt.Println("told to stop:", context.Cause(ctx))
		return ctx.Err()
	}
	_, err = tasks.StartChild(ctx, work)
	fmt.Println(err)
	_, err = tasks.StartChild(ctx, work)
	fmt.Println(err, errors.Is(err, supervisor.ErrMaxChildren))
	fmt.Println(tasks.Stop(ctx))
	// Output:
	// <nil>
	// supervisor: max_children reached: the limit is 1 true
	// told to stop: shutdown
	// <nil>
}

// YieldMany waits until enough tasks have ended, here two of three, and for at most a minute.
func ExampleYieldMany() {
	ctx := context.Background()
	system := actors.NewSystem(actors.SystemConfig{})
	defer func() { _ = system.Stop(ctx) }()
	var tasks []*actors.Task[string]
	for _, ask := range []func(ctx context.Context) (string, error){
		func(context.Context) (string, error) { return "sunny", nil },
		func(context.Context) (string, error) { return "", errors.New("no service") },
		func(ctx context.Context) (string, error) { <-ctx.Done(); return "late", nil },
	} {
		task, err := actors.AsyncNoLink(ctx, actors.Unsupervised(system), ask)
		if err != nil {
			log.Fatal(err)
		}
		tasks = append(tasks, task)
	}
	list, err := actors.YieldMany(ctx, actors.YieldOptions{Timeout: time.Minute, Limit: 2}, tasks...)
	if err != nil {
		log.Fatal(err)
	}
	for _, answer := range list {
		fmt.Printf("%q %v %v\n", answer.Value, answer.Ended, answer.Err)
	}
	// Output:
	// "sunny" true <nil>
	// "" true no service
	// "" false <nil>
}
