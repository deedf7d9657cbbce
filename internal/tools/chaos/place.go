package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// place is where tasks are kept, for a child.
type place struct {
	Path     string // of a SQLite file
	MaxBytes int64  // of that
	URL      string // of a PostgreSQL database, if there is no Path
	Spool    string // for that
}

func (p place) open(ctx context.Context) (store.Store, error) {
	if p.Path == "" {
		return postgres.Open(ctx, p.URL, postgres.Config{Spool: p.Spool})
	}
	return sqlite.Open(ctx, p.Path, sqlite.Config{MaxBytes: p.MaxBytes})
}

// read gives all outcomes and all tasks that are there.
func (p place) read(ctx context.Context) (log, tasks []store.Task, err error) {
	s, err := p.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if closing := s.Close(); err == nil {
			err = closing
		}
	}()
	if log, err = readLog(ctx, s); err == nil {
		tasks, err = readTasks(ctx, s)
	}
	return log, tasks, err
}

func readLog(ctx context.Context, s store.Reader) (log []store.Task, err error) {
	for after := store.FromOldest; ; {
		page, err := s.Outcomes(ctx, store.OutcomeQuery{After: after, Limit: store.MaxList})
		if err != nil {
			return nil, fmt.Errorf("chaos: read the outcomes: %w", err)
		}
		if page.Next == after {
			return log, nil
		}
		log, after = append(log, page.Tasks...), page.Next
	}
}

func readTasks(ctx context.Context, s store.Reader) (tasks []store.Task, err error) {
	for query := (store.Query{Limit: store.MaxList}); ; query.After = tasks[len(tasks)-1].Place() {
		page, err := s.List(ctx, query)
		if err != nil {
			return nil, fmt.Errorf("chaos: list the tasks: %w", err)
		}
		tasks = append(tasks, page...)
		if len(page) < query.Limit {
			return tasks, nil
		}
	}
}

// replicas is how many processes share a database where they can.
const replicas = 3

// places makes a new database and says where each slot finds it, and where the judge does.
func (p *plan) places(t testing.TB, session int) (slots []place, judge place, err error) {
	dir := filepath.Join(p.disk, strconv.Itoa(session))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, place{}, err
	}
	if p.store == onSQLite {
		one := place{Path: filepath.Join(dir, "tasks.db")}
		return []place{one}, one, nil
	}
	judge.URL = p.server.NewDatabase(t)
	for slot := range replicas {
		at := judge
		if p.variant.proxy {
			at.URL = p.server.proxy.Via(at.URL)
		}
		if p.variant.spools {
			at.Spool = filepath.Join(dir, fmt.Sprintf("spool-%d", slot))
		}
		slots = append(slots, at)
	}
	return slots, judge, nil
}
