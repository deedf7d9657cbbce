package actors_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// An order and the task that mails its receipt: both are there, or neither is. The handler marks the receipt as sent in the same
// transaction that completes the task.
func Example_transactions() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(ctx, filepath.Join(dir, "shop.db"), sqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()

	mail := actors.Kind("receipt.mail", func(ctx context.Context, order int) (string, error) {
		text := fmt.Sprint("receipt of order ", order)
		err := db.InTx(ctx, func(tx *sqlite.Tx) error {
			if _, err := tx.SQL().ExecContext(ctx, `UPDATE orders SET mailed = 1 WHERE id = ?`, order); err != nil {
				return err
			}
			return actors.CompleteTx(ctx, tx, text)
		})
		return text, err
	})
	runner, err := actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{Name: "shop", Store: db, Kinds: actors.Kinds{mail}})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = runner.Stop(ctx) }()

	var receipt *actors.Handle[string]
	err = db.InTx(ctx, func(tx *sqlite.Tx) error {
		if _, err := tx.SQL().ExecContext(ctx, `CREATE TABLE orders (id INTEGER PRIMARY KEY, mailed INTEGER DEFAULT 0)`); err != nil {
			return err
		}
		if _, err := tx.SQL().ExecContext(ctx, `INSERT INTO orders (id) VALUES (7)`); err != nil {
			return err
		}
		receipt, err = actors.RunTx[string](ctx, runner, tx, "receipt.mail", 7)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.Await(ctx))

	var mailed bool
	err = db.InTx(ctx, func(tx *sqlite.Tx) error {
		return tx.SQL().QueryRowContext(ctx, `SELECT mailed FROM orders WHERE id = 7`).Scan(&mailed)
	})
	fmt.Println(mailed, err)
	// Output:
	// receipt of order 7 <nil>
	// true <nil>
}

// A subscriber that misses nothing: it keeps the cursor of the last outcome that it has dealt with, and goes on behind it.
func ExampleTaskRunner_Outcomes() {
	ctx := context.Background()
	square := actors.Kind("square", func(_ context.Context, n int) (int, error) { return n * n, nil })
	runner, err := actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{
		Name: "squares", Store: store.NewMemory(), Kinds: actors.Kinds{square}, MaxChildren: 1,
		Retention: actors.Retention{Completed: time.Hour, Discarded: actors.KeepForever},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = runner.Stop(ctx) }()
	if _, err := actors.RunMany[int](ctx, runner, "square", []int{2, 3, 4}); err != nil {
		log.Fatal(err)
	}

	cursor := store.FromOldest
	for task, err := range runner.Outcomes(ctx, cursor) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s\n", task.State, task.Result)
		if cursor = task.Pos; string(task.Result) == "9" {
			break // the program ends here; it has kept the cursor
		}
	}
	for task, err := range runner.Outcomes(ctx, cursor) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("later: %s %s\n", task.State, task.Result)
		break
	}
	// Output:
	// completed 4
	// completed 9
	// later: completed 16
}

// Of those that wait, the most urgent runs first.
func ExampleWithPriority() {
	ctx := context.Background()
	began, release := make(chan struct{}), make(chan struct{})
	say := func(_ context.Context, what string) (string, error) {
		if what == "the first" {
			close(began)
			<-release
		}
		fmt.Println(what)
		return what, nil
	}
	runner, err := actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{
		Name: "speaker", Store: store.NewMemory(), MaxChildren: 1,
		Kinds: actors.Kinds{actors.Kind("say", say, actors.WithPriority(5))},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = runner.Stop(ctx) }()
	var last *actors.Handle[string]
	for _, c := range []struct {
		what     string
		priority int
	}{{"the first", 5}, {"whenever", 9}, {"soon", 5}, {"at once", 0}} {
		handle, err := actors.Run[string](ctx, runner, "say", c.what, actors.WithPriority(c.priority))
		if err != nil {
			log.Fatal(err)
		}
		switch c.what {
		case "the first":
			<-began // the others wait behind it
		case "whenever":
			last = handle
		}
	}
	close(release)
	_, _ = last.Await(ctx)
	// Output:
	// the first
	// at once
	// soon
	// whenever
}
