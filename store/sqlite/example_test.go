package sqlite_test

import (
	"context"
	"fmt"
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
