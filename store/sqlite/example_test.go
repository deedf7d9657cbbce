package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	db, err := sqlite.Open(ctx, filepath.Join(dir, "tasks.db"), sqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()

	now := time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)
	_, err = db.Insert(ctx, now, []store.NewTask{{
		ID: "019cb7f5-5a00-7c3e-8f00-0123456789ab", Runner: "assets", Kind: "asset.move", MaxAttempts: 3,
		Args: []byte(`{"source":"https://old.example.com/a.png"}`),
	}})
	if err != nil {
		log.Fatal(err)
	}

	claimed, err := db.Claim(ctx, now, store.Claim{Runner: "assets", Node: "node-1", Kinds: []string{"asset.move"}, Limit: 10})
	if err != nil {
		log.Fatal(err)
	}
	for _, task := range claimed.Tasks {
		fmt.Printf("%s is %s, attempt %d of %d: %s\n", task.ID, task.State, task.Attempt, task.MaxAttempts, task.Args)
	}
	// Output:
	// 019cb7f5-5a00-7c3e-8f00-0123456789ab is running, attempt 1 of 3: {"source":"https://old.example.com/a.png"}
}

// The handler's own writes, the outcome of its task and the task that comes next exist together, or none of them does.
func ExampleStore_InTx() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(ctx, filepath.Join(dir, "app.db"), sqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.InTx(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.SQL().ExecContext(ctx, `CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, paid INTEGER NOT NULL)`)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}

	now := time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)
	running, err := db.Insert(ctx, now, []store.NewTask{{
		ID: "019cb7f5-5a00-7c3e-8f00-0123456789ab", Runner: "shop", Kind: "order.pay", MaxAttempts: 3, Node: "node-1",
	}})
	if err != nil {
		log.Fatal(err)
	}
	err = db.InTx(ctx, func(tx *sqlite.Tx) error {
		if _, err := tx.SQL().ExecContext(ctx, `INSERT INTO orders (paid) VALUES (1)`); err != nil {
			return err
		}
		_, err := tx.Insert(ctx, now, []store.NewTask{{
			ID: "019cb7f5-5a00-7c3e-8f00-0123456789ac", Runner: "shop", Kind: "order.ship", MaxAttempts: 3, Fresh: true,
		}})
		if err != nil {
			return err
		}
		return tx.Complete(ctx, store.Outcome{
			TaskID: running[0].ID, Run: running[0].Run, To: store.Completed, FinishedAt: now.Add(time.Second),
		})
	})
	if err != nil {
		log.Fatal(err)
	}

	tasks, err := db.List(ctx, store.Query{})
	if err != nil {
		log.Fatal(err)
	}
	for _, task := range tasks {
		fmt.Println(task.Kind, "is", task.State)
	}
	// Output:
	// order.ship is available
	// order.pay is completed
}

func ExampleStore_Backup() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(ctx, filepath.Join(dir, "tasks.db"), sqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()

	copied := filepath.Join(dir, "tasks-2026-03-04.db")
	if err := db.Backup(ctx, copied); err != nil {
		log.Fatal(err)
	}
	if err := db.Backup(ctx, copied); errors.Is(err, fs.ErrExist) {
		fmt.Println("a copy is never overwritten")
	}
	// Output:
	// a copy is never overwritten
}
