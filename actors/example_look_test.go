package actors_test

import (
	"context"
	"fmt"
	"log"
	"regexp"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// Tree shows all processes, each below its parent. PIDs are new at each start, so they are replaced here.
func ExampleSystem_tree() {
	ctx := context.Background()
	system := actors.NewSystem(actors.SystemConfig{})
	defer func() { _ = system.Stop(ctx) }()
	newAdder := func() any { return &adder{} }
	if _, err := supervisor.Start(ctx, system, supervisor.Config{
		Name:     "shop",
		Strategy: supervisor.OneForOne,
		Children: []supervisor.ChildSpec{
			actors.GenServerSpec(system, newAdder, actors.GenServerOptions{Name: "stock"}),
			actors.GenServerSpec(system, newAdder, actors.GenServerOptions{Name: "till"}),
		},
	}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(regexp.MustCompile(`<\S+>|node \w+`).ReplaceAllString(system.Tree(), "<pid>"))
	// Output:
	// <pid>, 3 processes
	// └─ <pid> shop supervisor one_for_one
	//    ├─ <pid> stock *actors_test.adder
	//    └─ <pid> till *actors_test.adder
}

// Trace shows what a process receives and sends, until it ends or the context does.
func ExampleSystem_trace() {
	ctx := context.Background()
	system := actors.NewSystem(actors.SystemConfig{})
	defer func() { _ = system.Stop(ctx) }()
	server, err := actors.StartGenServer(ctx, system, &adder{}, actors.GenServerOptions{Name: "adder"})
	if err != nil {
		log.Fatal(err)
	}
	events, err := system.Trace(ctx, messages.Name("adder"), actors.DefaultTraceBuffer)
	if err != nil {
		log.Fatal(err)
	}
	server.Cast(ctx, 40)
	server.Cast(ctx, 2)
	if _, err := server.Call(ctx, "sum?"); err != nil {
		log.Fatal(err)
	}
	if err := server.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	for e := range events {
		switch e.What {
		case actors.TraceReceived:
			fmt.Println(e.What, e.Callback, e.Message)
		case actors.TraceEnded:
			fmt.Println(e.What, e.Reason)
		}
	}
	// Output:
	// received HandleCast 40
	// received HandleCast 2
	// received HandleCall sum?
	// ended normal
}
