package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// openDatabase opens the store: a SQLite file, which is made if it is not there, or a PostgreSQL server. In memory nothing is
// left on the disk, whatever happens, and a run that was interrupted starts anew.
func openDatabase(ctx context.Context, where storeURL, logger *slog.Logger) (db store.Store, err error) {
	switch {
	case where.memory():
		return store.NewMemory(), nil
	case where.file != "":
		db, err = sqlite.Open(ctx, where.file, sqlite.Config{})
	default:
		db, err = postgres.Open(ctx, where.server, postgres.Config{Spool: where.spool, TransactionPooling: where.pooler, Logger: logger})
	}
	if err != nil {
		return nil, databaseError(ctx, where, err)
	}
	return db, nil
}

// databaseError says on one line what is wrong with a database. Nothing is with one that was asked when the signal came: what
// ended ctx is the error then.
func databaseError(ctx context.Context, where storeURL, err error) error {
	if asked(ctx) {
		return context.Cause(ctx)
	}
	if trouble := databaseTrouble(err); trouble != "" {
		return failf(exitDatabase, "the database %s %s", where, trouble)
	}
	return &failure{exitDatabase, fmt.Errorf("the database: %w", err)}
}
