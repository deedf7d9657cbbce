package main

import (
	"context"
	"fmt"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// openDatabase opens the SQLite file at path, which is made if it is not there. Without a path the tasks are kept in
// memory: nothing is left on the disk, whatever happens, and a run that was interrupted starts anew.
func openDatabase(ctx context.Context, path string) (store.Store, error) {
	if path == "" {
		return store.NewMemory(), nil
	}
	db, err := sqlite.Open(ctx, path, sqlite.Config{})
	if err != nil && asked(ctx) {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, databaseError(path, err)
	}
	return db, nil
}

// databaseError says on one line what is wrong with a database.
func databaseError(path string, err error) error {
	if trouble := databaseTrouble(err); trouble != "" {
		return failf(exitDatabase, "the database %s %s", path, trouble)
	}
	return &failure{exitDatabase, fmt.Errorf("the database: %w", err)}
}
