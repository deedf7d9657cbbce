package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// newSystem stands for actors.NewSystem, which a program uses.
func newSystem() *supervisor.System { return process.NewSystem(process.Config{}) }

// serve stands for the start of any process: of a GenServer of actors, say. This one says when it stops, and does nothing before.
func serve(system *supervisor.System, name string) supervisor.StartFunc {
	return func(ctx context.Context) (messages.PID, error) {
		return process.SpawnFunc(ctx, system, func(ctx context.Context) error {
			<-ctx.Done()
			fmt.Println(name, "stops:", context.Cause(ctx))
			return context.Cause(ctx)
		}, process.Options{Link: true})
	}
}

func ExampleStart() {
	ctx, system := context.Background(), newSystem()
	s, err := supervisor.Start(ctx, system, supervisor.Config{
		Strategy: supervisor.RestForOne,
		Children: []supervisor.ChildSpec{
			{ID: "database", Start: serve(system, "database")},
			{ID: "cache", Start: serve(system, "cache")}, // stops before the database, and is restarted with it
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	counts, _ := s.CountChildren(ctx)
	fmt.Println(counts.Active, "children run")
	_ = s.Stop(ctx)
	_ = system.Stop(ctx)
	// Output:
	// 2 children run
	// cache stops: shutdown
	// database stops: shutdown
}

func ExampleSupervisor_StartChild() {
	ctx, system := context.Background(), newSystem()
	s, _ := supervisor.Start(ctx, system, supervisor.Config{Strategy: supervisor.OneForOne})
	metrics := supervisor.ChildSpec{ID: "metrics", Start: serve(system, "metrics")}
	_, err := s.StartChild(ctx, metrics)
	fmt.Println("once:", err)
	_, err = s.StartChild(ctx, metrics)
	fmt.Println("twice:", errors.Is(err, supervisor.ErrAlreadyStarted))
	_ = s.TerminateChild(ctx, "metrics")
	_, err = s.StartChild(ctx, metrics)
	fmt.Println("its spec has stayed:", errors.Is(err, supervisor.ErrAlreadyPresent))
	fmt.Println("it can be deleted:", s.DeleteChild(ctx, "metrics"))
	_ = system.Stop(ctx)
	// Output:
	// once: <nil>
	// twice: true
	// metrics stops: shutdown
	// its spec has stayed: true
	// it can be deleted: <nil>
}

func ExampleStartDynamic() {
	ctx, system := context.Background(), newSystem()
	connections, _ := supervisor.StartDynamic(ctx, system, supervisor.DynamicConfig{MaxChildren: 1})
	connection := supervisor.ChildSpec{Start: serve(system, "connection"), Restart: supervisor.Temporary}
	pid, err := connections.StartChild(ctx, connection)
	fmt.Println("the first:", err)
	_, err = connections.StartChild(ctx, connection)
	fmt.Println("the second:", err)
	_ = connections.TerminateChild(ctx, pid)
	_ = system.Stop(ctx)
	// Output:
	// the first: <nil>
	// the second: supervisor: max_children reached: the limit is 1
	// connection stops: shutdown
}

func ExampleStartPartition() {
	ctx, system := context.Background(), newSystem()
	counters, err := supervisor.StartPartition(ctx, system, supervisor.PartitionConfig{
		Name: "counters", Partitions: 4,
		Child: func(index int) supervisor.ChildSpec {
			return supervisor.ChildSpec{Start: serve(system, fmt.Sprint("counter ", index))}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	a, _ := counters.Whereis(1)
	b, _ := counters.Whereis(5)
	c, _ := counters.Whereis(2)
	fmt.Println("1 and 5 lead to the same:", a == b)
	fmt.Println("1 and 2 lead to the same:", a == c)
	before, _ := counters.Resize(ctx, 3)
	fmt.Println(before, "before,", counters.Partitions(), "now")
	_ = system.Stop(ctx)
	// Output:
	// 1 and 5 lead to the same: true
	// 1 and 2 lead to the same: false
	// counter 3 stops: shutdown
	// 4 before, 3 now
	// counter 2 stops: shutdown
	// counter 1 stops: shutdown
	// counter 0 stops: shutdown
}

func ExampleBackoff() {
	ctx, system := context.Background(), newSystem()
	tries, connected := 0, make(chan struct{})
	client := func(ctx context.Context) (messages.PID, error) {
		switch tries++; tries {
		case 2, 3:
			return messages.PID{}, errors.New("the server is down")
		case 4:
			defer close(connected)
		}
		return serve(system, "client")(ctx)
	}
	s, _ := supervisor.Start(ctx, system, supervisor.Config{
		Strategy: supervisor.OneForOne,
		Children: []supervisor.ChildSpec{{ID: "client", Start: client}},
		Backoff:  supervisor.Backoff{Initial: 10 * time.Millisecond, Max: time.Second}, // 10, 20, 40 ms
	})
	children, _ := s.WhichChildren(ctx)
	began := time.Now()
	system.Kill(children[0].PID)
	<-connected
	fmt.Println(tries, "tries, the last after 70 ms or more:", time.Since(began) >= 70*time.Millisecond)
	_ = system.Stop(ctx)
	// Output:
	// client stops: killed
	// 4 tries, the last after 70 ms or more: true
	// client stops: shutdown
}
