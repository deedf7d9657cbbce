package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// withSongs opens a store beside whose tables there is one of an application.
func withSongs(t *testing.T, cfg sqlite.Config) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), tempFile(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	inTx(t, s, func(tx *sqlite.Tx) error {
		return run(tx, `CREATE TABLE songs (id INTEGER PRIMARY KEY, title TEXT UNIQUE)`)
	})
	return s
}

func inTx(t *testing.T, s *sqlite.Store, f func(tx *sqlite.Tx) error) {
	t.Helper()
	if err := s.InTx(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

func run(tx *sqlite.Tx, text string, args ...any) error {
	_, err := tx.SQL().ExecContext(context.Background(), text, args...)
	return err
}

func insertIn(tx *sqlite.Tx, n int) ([]store.Inserted, error) {
	tasks := plainTasks(0, n)
	for i := range tasks {
		tasks[i].Node = ""
	}
	return tx.Insert(context.Background(), benchTime, tasks)
}

func songs(t *testing.T, s *sqlite.Store) int64 {
	t.Helper()
	return number(t, s, `SELECT count(*) FROM songs`)
}

func wantCounts(t *testing.T, s *sqlite.Store, want map[store.State]int64) {
	t.Helper()
	if got, err := s.Counts(context.Background(), ""); err != nil || !maps.Equal(got, want) {
		t.Errorf("counts are %v, %v, want %v", got, err, want)
	}
	countsAreTrue(t, s)
}

// TestInTx: the application's row, a new task and an outcome are recorded together, and told.
func TestInTx(t *testing.T) {
	s := withSongs(t, sqlite.Config{})
	young := begin(t, s, 2)[0]
	var heard store.Signal
	release, err := s.Hold(store.Holder{Runner: "bench", Node: "node-1", Notify: func(s store.Signal) { heard |= s }})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	var inserted []store.Inserted
	inTx(t, s, func(tx *sqlite.Tx) (err error) {
		if err := run(tx, `INSERT INTO songs (title) VALUES (?)`, "Blue Train"); err != nil {
			return err
		}
		if inserted, err = insertIn(tx, 100); err != nil {
			return err
		}
		if err := tx.Complete(t.Context(), completed(young)); err != nil {
			return err
		}
		if heard != 0 {
			t.Error("told before the commit")
		}
		if got := get(t, s, young.ID); got.State != store.Running {
			t.Errorf("before the commit others see %s", got.State)
		}
		return nil
	})
	if heard != store.SignalWork|store.SignalOutcomes {
		t.Errorf("told of %b", heard)
	}
	if n := songs(t, s); n != 1 {
		t.Errorf("there are %d songs", n)
	}
	for _, task := range inserted {
		if got := get(t, s, task.ID); fmt.Sprint(got) != fmt.Sprint(task.Task) || got.State != store.Available {
			t.Errorf("inserted %+v, is %+v", task.Task, got)
		}
	}
	wantCounts(t, s, map[store.State]int64{store.Available: 100, store.Running: 1, store.Completed: 1})
	wantYoung(t, s, 1, 1)
}

// undoing are ways in which a transaction comes to nothing.
var undoing = map[string]struct {
	end  func(ctx context.Context, s *sqlite.Store, cancel func(), tx *sqlite.Tx) error
	want string
}{
	"error": {func(context.Context, *sqlite.Store, func(), *sqlite.Tx) error { return errDisk }, errDisk.Error()},
	"rollback by hand": {func(_ context.Context, _ *sqlite.Store, _ func(), tx *sqlite.Tx) error {
		return tx.SQL().Rollback()
	}, "ended by hand"},
	"commit by hand": {func(_ context.Context, _ *sqlite.Store, _ func(), tx *sqlite.Tx) error {
		_ = tx.SQL().Commit()
		return nil
	}, "ended by hand"},
	"context": {func(ctx context.Context, _ *sqlite.Store, cancel func(), _ *sqlite.Tx) error {
		cancel()
		<-ctx.Done()
		return nil
	}, "context canceled"},
	"rolled back by SQLite": {func(_ context.Context, _ *sqlite.Store, _ func(), tx *sqlite.Tx) error {
		if err := run(tx, `INSERT OR ROLLBACK INTO songs (id, title) VALUES (7, 'Naima'), (7, 'Naima')`); err == nil {
			return errors.New("the conflict is no error")
		}
		if err := run(tx, `INSERT INTO songs (title) VALUES ('after that')`); err == nil {
			return errors.New("a statement after the rollback is no error")
		}
		if _, err := insertIn(tx, 1); err == nil {
			return errors.New("an insert after the rollback is no error")
		}
		return nil // who does not listen
	}, "by itself"},
	"rolled back by SQLite in the end": {func(_ context.Context, _ *sqlite.Store, _ func(), tx *sqlite.Tx) error {
		if err := run(tx, `INSERT OR ROLLBACK INTO songs (id, title) VALUES (7, 'Naima'), (7, 'Naima')`); err == nil {
			return errors.New("the conflict is no error")
		}
		return nil
	}, "by itself"},
	"deferred foreign key": {func(_ context.Context, _ *sqlite.Store, _ func(), tx *sqlite.Tx) error {
		return errors.Join(
			run(tx, `CREATE TABLE covers (song INTEGER REFERENCES songs (id) DEFERRABLE INITIALLY DEFERRED)`),
			run(tx, `INSERT INTO covers VALUES (77)`))
	}, "FOREIGN KEY"},
	"a foreign key to a task": {func(_ context.Context, _ *sqlite.Store, _ func(), tx *sqlite.Tx) error {
		return run(tx, `CREATE TABLE mine (task BLOB REFERENCES taskrunner_tasks (id))`)
	}, "mine has a foreign key to taskrunner_tasks"},
	"a table of our prefix": {func(_ context.Context, _ *sqlite.Store, _ func(), tx *sqlite.Tx) error {
		return run(tx, `ALTER TABLE songs RENAME TO Taskrunner_songs`)
	}, "Taskrunner_songs"},
	"a trigger on our table": {func(_ context.Context, _ *sqlite.Store, _ func(), tx *sqlite.Tx) error {
		return run(tx, `CREATE TRIGGER t AFTER INSERT ON taskrunner_tasks BEGIN DELETE FROM songs; END`)
	}, "taskrunner_tasks"},
}

// TestInTxUndone: whatever makes it come to nothing, nothing of it is left in file and memory, and the store goes on.
func TestInTxUndone(t *testing.T) {
	for name, c := range undoing {
		t.Run(name, func(t *testing.T) {
			s := withSongs(t, sqlite.Config{})
			young := begin(t, s, 1)[0]
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := s.InTx(ctx, func(tx *sqlite.Tx) error {
				if err := run(tx, `INSERT INTO songs (title) VALUES ('Blue Train')`); err != nil {
					return err
				}
				if _, err := insertIn(tx, 1); err != nil {
					return err
				}
				if err := tx.Complete(ctx, completed(young)); err != nil {
					return err
				}
				return c.end(ctx, s, cancel, tx)
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one that says %q", err, c.want)
			}
			if n := songs(t, s); n != 0 {
				t.Errorf("there are %d songs", n)
			}
			wantYoung(t, s, 1, 1)
			wantCounts(t, s, map[store.State]int64{store.Running: 1})
			end(t, s, young, store.Completed)
			inTx(t, s, func(tx *sqlite.Tx) error { return run(tx, `INSERT INTO songs (title) VALUES ('Naima')`) })
			wantCounts(t, s, map[store.State]int64{store.Completed: 1})
		})
	}
}

func TestInTxReturnsTheError(t *testing.T) {
	s := open(t, tempFile(t))
	if err := s.InTx(t.Context(), func(*sqlite.Tx) error { return errDisk }); err != errDisk {
		t.Errorf("got %v, want the very error of the function", err)
	}
}

// TestInTxPanics: the panic goes on in the caller's goroutine, with its own value; and so does the end of the goroutine.
func TestInTxPanics(t *testing.T) {
	s := withSongs(t, sqlite.Config{})
	func() {
		defer func() {
			if reason := recover(); reason != "oh no" {
				t.Errorf("recovered %v", reason)
			}
		}()
		_ = s.InTx(t.Context(), func(tx *sqlite.Tx) error {
			_ = run(tx, `INSERT INTO songs (title) VALUES ('Blue Train')`)
			panic("oh no")
		})
	}()
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = s.InTx(t.Context(), func(tx *sqlite.Tx) error {
			_ = run(tx, `INSERT INTO songs (title) VALUES ('Blue Train')`)
			runtime.Goexit()
			return nil
		})
	})
	wg.Wait()
	if n := songs(t, s); n != 0 {
		t.Errorf("there are %d songs", n)
	}
	insertOne(t, s, nil)
}

// TestInTxTimeout: the others go on when the time is over, whatever the function does; and it can do nothing any more.
func TestInTxTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withSongs(t, sqlite.Config{TxTimeout: time.Minute})
		defer func() { _ = s.Close() }()
		young := begin(t, s, 1)[0]
		release := make(chan struct{})
		answer := make(chan error, 1)
		var late []error
		var lent *sqlite.Tx
		go func() {
			answer <- s.InTx(context.Background(), func(tx *sqlite.Tx) error {
				lent = tx
				if err := tx.Complete(context.Background(), completed(young)); err != nil {
					return err
				}
				rows, err := tx.SQL().Query(`SELECT 1 UNION ALL SELECT 2`)
				if err != nil {
					return err
				}
				stmt, err := tx.SQL().Prepare(`INSERT INTO songs (title) VALUES ('late')`)
				if err != nil {
					return err
				}
				<-release
				_, inserting := insertIn(tx, 1)
				_, preparing := tx.SQL().Prepare(`SELECT 1`) //nolint:sqlclosecheck // there is none
				_, running := stmt.Exec()
				for rows.Next() {
					late = append(late, nil)
				}
				late = append(late, inserting, preparing, running, rows.Err(), rows.Close(), stmt.Close(), //nolint:sqlclosecheck // late
					tx.Complete(context.Background(), completed(young)), run(tx, `INSERT INTO songs (title) VALUES ('late')`))
				return nil
			})
		}()
		synctest.Wait()
		if statements, rows := lent.Open(); statements != 1 || rows != 1 {
			t.Errorf("%d statements and %d rows are open, want 1 and 1", statements, rows)
		}
		began := time.Now()
		insertOne(t, s, nil) // waits for its turn
		if statements, rows := lent.Open(); statements != 0 || rows != 0 {
			t.Errorf("%d statements and %d rows are open on the connection of others", statements, rows)
		}
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("another write waited %v, want a minute", waited)
		}
		if got := get(t, s, young.ID); got.State != store.Running {
			t.Errorf("the task is %s", got.State)
		}
		close(release)
		err := <-answer
		if !errors.Is(err, sqlite.ErrTxTimeout) || !strings.Contains(err.Error(), "TxTimeout") {
			t.Errorf("the answer is %v", err)
		}
		for i, err := range late {
			if closing := i == 4 || i == 5; err == nil && !closing {
				t.Errorf("call %d after the end is no error", i)
			}
		}
		if n := songs(t, s); n != 0 {
			t.Errorf("there are %d songs", n)
		}
	})
}

// TestInTxInterrupts ends the time while SQLite is busy.
func TestInTxInterrupts(t *testing.T) {
	s := withSongs(t, sqlite.Config{TxTimeout: 50 * time.Millisecond})
	var inner error
	err := s.InTx(t.Context(), func(tx *sqlite.Tx) error {
		inner = run(tx, `INSERT INTO songs (title)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT i FROM n`)
		return nil
	})
	if inner == nil || !errors.Is(err, sqlite.ErrTxTimeout) {
		t.Errorf("the statement: %v, the transaction: %v", inner, err)
	}
	if n := songs(t, s); n != 0 {
		t.Errorf("there are %d songs", n)
	}
	insertOne(t, s, nil)
}

// TestInTxLeavesThingsOpen: rows and statements that are left open do not disturb those who come after.
func TestInTxLeavesThingsOpen(t *testing.T) {
	s := withSongs(t, sqlite.Config{})
	for range 3 {
		var rows *sql.Rows
		var stmt *sql.Stmt
		inTx(t, s, func(tx *sqlite.Tx) (err error) {
			if err := run(tx, `INSERT OR REPLACE INTO songs (title) VALUES ('a'), ('b'), ('c')`); err != nil {
				return err
			}
			stmt, err = tx.SQL().Prepare(`SELECT title FROM songs WHERE id > ?`) //nolint:sqlclosecheck // that is what is tested
			if err != nil {
				return err
			}
			rows, err = stmt.Query(0) //nolint:sqlclosecheck // that is what is tested
			if err != nil || !rows.Next() {
				return fmt.Errorf("no rows: %w", err)
			}
			if _, err = insertIn(tx, 1); err != nil { // while rows are open
				return err
			}
			if !rows.Next() {
				return rows.Err()
			}
			other, err := tx.SQL().Query(`SELECT title FROM songs`) //nolint:sqlclosecheck,rowserrcheck // that is what is tested
			if err != nil || !other.Next() {
				return fmt.Errorf("no other rows: %w", err)
			}
			if types, err := other.ColumnTypes(); err != nil || types[0].DatabaseTypeName() != "TEXT" || types[0].ScanType() == nil {
				t.Errorf("types %v, %v", types, err)
			}
			return nil
		})
		begin(t, s, 2)
		if rows.Next() {
			t.Error("there are rows after the end")
		}
		_ = rows.Close()
		_ = stmt.Close()
		begin(t, s, 2)
	}
	if n := songs(t, s); n != 3 {
		t.Errorf("there are %d songs", n)
	}
	countsAreTrue(t, s)
}

// TestInTxRefuses: what is wrong with a task or an outcome fails alone, and the transaction goes on.
func TestInTxRefuses(t *testing.T) {
	s := withSongs(t, sqlite.Config{})
	tasks := begin(t, s, 2)
	done := end(t, s, tasks[1], store.Completed)
	var outside *sqlite.Tx
	inTx(t, s, func(tx *sqlite.Tx) error {
		outside = tx
		refuses := func(err, target error, word string) {
			t.Helper()
			if !errors.Is(err, target) || !strings.Contains(err.Error(), word) {
				t.Errorf("got %v, want %v with %q", err, target, word)
			}
		}
		_, err := tx.Insert(t.Context(), benchTime, plainTasks(0, 1))
		refuses(err, store.ErrInvalid, "Node")
		_, err = tx.Insert(t.Context(), time.Time{}, nil)
		refuses(err, store.ErrInvalid, "now")
		o := completed(tasks[0])
		o.To = store.Discarded
		refuses(tx.Complete(t.Context(), o), store.ErrInvalid, "To")
		o = completed(tasks[0])
		o.Run = 5
		refuses(tx.Complete(t.Context(), o), store.ErrFenced, "run 5")
		o.TaskID = benchTask(0, "").ID
		refuses(tx.Complete(t.Context(), o), store.ErrNotFound, o.TaskID)
		if err := tx.Complete(t.Context(), completed(done)); err != nil {
			t.Errorf("the same outcome again: %v", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		refuses(tx.Complete(ended, completed(tasks[0])), context.Canceled, "")
		return tx.Complete(t.Context(), completed(tasks[0]))
	})
	if _, err := insertIn(outside, 1); !errors.Is(err, sql.ErrTxDone) {
		t.Errorf("after the end: %v", err)
	}
	wantCounts(t, s, map[store.State]int64{store.Completed: 2})
}

// TestInTxInTurn: transactions wait for each other and for other writes, one after the other, and a caller may give up.
func TestInTxInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withSongs(t, sqlite.Config{})
		defer func() { _ = s.Close() }()
		h := holdWriter(s)
		ctx, cancel := context.WithCancel(context.Background())
		gaveUp := make(chan error, 1)
		go func() {
			gaveUp <- s.InTx(ctx, func(*sqlite.Tx) error {
				t.Error("the function runs although nobody waits for it")
				return nil
			})
		}()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up is told %v", err)
		}
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if i%2 == 0 {
					insertOne(t, s, nil)
					return
				}
				err := s.InTx(context.Background(), func(tx *sqlite.Tx) error {
					if err := run(tx, `INSERT INTO songs (title) VALUES (?)`, i); err != nil || i%4 == 1 {
						return err
					}
					return errDisk
				})
				if (i%4 == 1) != (err == nil) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		h.end(t)
		wg.Wait()
		if n := songs(t, s); n != 5 {
			t.Errorf("there are %d songs, of ten half failed", n)
		}
		wantCounts(t, s, map[store.State]int64{store.Available: 10})
	})
}

func TestInTxClosed(t *testing.T) {
	s := open(t, tempFile(t))
	_ = s.Close()
	if err := s.InTx(t.Context(), func(*sqlite.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// TestApplicationTables: a file with tables of an application beside ours stays ours; one that lost ours does not.
func TestApplicationTables(t *testing.T) {
	s := withSongs(t, sqlite.Config{})
	insertOne(t, s, nil)
	path := s.Path()
	_ = s.Close()
	raw(t, path, `CREATE TABLE tasks (mine TEXT)`, `CREATE TABLE meta (mine TEXT)`, `CREATE INDEX tasks_id ON tasks (mine)`)
	insertOne(t, open(t, path), nil)
}
