package actors_test

import (
	"context"
	"fmt"
	"log"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/store"
)

// A subscriber whose cursor is kept by the store: outcomes wait for it until it has acknowledged them, and not only for as long as others
// are kept.
func ExampleTaskRunner_Subscribe() {
	ctx := context.Background()
	square := actors.Kind("square", func(_ context.Context, n int) (int, error) { return n * n, nil })
	runner, err := actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{
		Name: "squares", Store: store.NewMemory(), Kinds: actors.Kinds{square}, MaxChildren: 1,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = runner.Stop(ctx) }()
	if _, err := actors.RunMany[int](ctx, runner, "square", []int{2, 3, 4}); err != nil {
		log.Fatal(err)
	}

	for _, wanted := range []string{"9", "16"} { // as if the program ended in between
		mailer, err := runner.Subscribe(ctx, "mailer", store.FromOldest)
		if err != nil {
			log.Fatal(err)
		}
		for task, err := range mailer.Outcomes(ctx) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%s is mailed\n", task.Result)
			if err := mailer.Acknowledge(ctx, task.Pos); err != nil {
				log.Fatal(err)
			}
			if string(task.Result) == wanted {
				break
			}
		}
	}
	// Output:
	// 4 is mailed
	// 9 is mailed
	// 16 is mailed
}
