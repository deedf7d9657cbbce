package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/taskrunner-go/taskrunner/actors"
)

// A task supervisor alone: no store, no queue, no retries; the value or the reason comes back to whoever waits.
func ExampleAsyncNoLink() {
	ctx := context.Background()
	system := actors.NewSystem(actors.SystemConfig{})
	defer func() { _ = system.Stop(ctx) }()
	tasks, err := actors.StartTaskSupervisor(ctx, system, actors.TaskSupervisorConfig{MaxChildren: 8})
	if err != nil {
		log.Fatal(err)
	}
	sum, err := actors.AsyncNoLink(ctx, tasks, func(context.Context) (int, error) { return 40 + 2, nil })
	if err != nil {
		log.Fatal(err)
	}
	broken, err := actors.AsyncNoLink(ctx, tasks, func(context.Context) (int, error) { return 0, errors.New("no such file") })
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum.Await(ctx))
	fmt.Println(broken.Await(ctx))
	// Output:
	// 42 <nil>
	// 0 no such file
}

// adder is a GenServer: its state is touched by one callback at a time.
type adder struct{ sum int }

func (a *adder) HandleCast(_ context.Context, message any) error {
	a.sum += message.(int)
	return nil
}

func (a *adder) HandleCall(context.Context, any, actors.From) (any, error) { return a.sum, nil }

func ExampleStartGenServer() {
	ctx := context.Background()
	system := actors.NewSystem(actors.SystemConfig{})
	defer func() { _ = system.Stop(ctx) }()
	server, err := actors.StartGenServer(ctx, system, &adder{}, actors.GenServerOptions{Name: "adder"})
	if err != nil {
		log.Fatal(err)
	}
	server.Cast(ctx, 40)
	server.Cast(ctx, 2)
	fmt.Println(server.Call(ctx, "sum?"))
	// Output: 42 <nil>
}
