package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
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
	return harness.ReadAll(ctx, s)
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
