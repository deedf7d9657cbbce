package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/taskrunner-go/taskrunner/store"
)

// Write hands an operation to the writer, as the methods of the Store do.
func (s *Store) Write(ctx context.Context, rows int, run func(exec func(text string) error) error) error {
	return s.write(ctx, rows, func(x *tx) error {
		return run(func(text string) error { return x.write(text) })
	})
}

// Read runs f with the numbers that statements give, all in one transaction of a reader.
func (s *Store) Read(ctx context.Context, f func(number func(text string) (int64, error)) error) error {
	return s.read(ctx, nil, func(c *conn) error {
		return f(func(text string) (int64, error) { return c.number(text) })
	})
}

// FilledBytes is how long the log file is made.
var FilledBytes = filledBytes(checkpointPages)

// FrameBytes are of a page in the log.
const FrameBytes = frameBytes

// LogPages is how long the log may get, on a disk with so much room.
func LogPages(c Config, free *int64) int { return c.logPages(free) }

// Queued is how many operations wait for the writer.
func (s *Store) Queued() int { return len(s.writer.queue) }

// Statements are the texts of all statements that look for something.
func Statements() map[string]string {
	texts := map[string]string{
		"updateTask": updateTask, "supersede": supersede, "trimHistory": trimHistory, "selectCounts": selectCounts,
		"selectAvailable": selectAvailable, "selectTimed": selectTimed, "selectUrgency": selectUrgency, "selectRunning": selectRunning,
		"selectCancels": selectCancels, "selectLast": selectLast, "selectTaskPage": selectTaskPage, "selectRunningPage": selectRunningPage,
		"selectFinishedPage": selectFinishedPage, "selectRarePage": selectRarePage, "selectOutcomes": selectOutcomes,
		"selectOldCompleted": selectOldCompleted, "selectOldRare": selectOldRare, "selectPruned": selectPruned,
		"deleteBundle": deleteBundle, "selectSubscribers": selectSubscribers, "selectSubscriber": selectSubscriber,
		"selectAcknowledged": selectAcknowledged, "deleteSubscriber": deleteSubscriber,
	}
	for name, k := range map[string]keyed{
		"tasksByID": tasksByID, "tasksBySeq": tasksBySeq, "finishedByID": finishedByID, "finishedByPos": finishedByPos,
		"prunedByPos": prunedByPos, "histories": histories, "deleteTasks": deleteTasks, "deleteFinished": deleteFinished,
		"deleteHistory": deleteHistory,
	} {
		texts[name+" one"], texts[name+" many"] = k.one, k.many
	}
	return texts
}

// CheckSpots does what Open does with a file of the version that is too large for a whole check.
func (s *Store) CheckSpots(ctx context.Context, version int64) error {
	return s.write(ctx, 1, func(x *tx) error { return x.checkSpots(version) })
}

// Young is how many tasks the memory has, and how many bundles.
func (s *Store) Young() (tasks, bundles int) {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return len(s.memory.young), len(s.memory.bundles)
}

// BodyRoundTrip encodes what of a task is in its body, and decodes it.
func BodyRoundTrip(t store.Task, hasHistory bool) (decoded store.Task, history bool, err error) {
	history, err = readBody(appendBody(nil, &t, hasHistory), &decoded)
	return decoded, history, err
}

// HistoryRoundTrip encodes a history, and decodes it.
func HistoryRoundTrip(history []store.Attempt) ([]store.Attempt, error) {
	return readHistory(appendHistory(nil, history))
}

// Entry is a task in a bundle.
type Entry struct {
	ID           [16]byte
	Seq, Kind    int64
	Key          string
	Body, Result []byte
}

// BundleRoundTrip encodes a bundle, and decodes it.
func BundleRoundTrip(entries []Entry) ([]Entry, error) {
	tasks := make([]*young, len(entries))
	for i, e := range entries {
		tasks[i] = &young{row: row{id: e.ID, seq: e.Seq, kind: e.Kind, key: e.Key, body: e.Body, result: e.Result}}
	}
	return DecodeBundle(encodeBundle(tasks))
}

// DecodeBundle decodes what may be damaged.
func DecodeBundle(b []byte) (entries []Entry, err error) {
	rows, err := readBundle(b)
	for _, r := range rows {
		entries = append(entries, Entry{ID: r.id, Seq: r.seq, Kind: r.kind, Key: r.key, Body: r.body, Result: r.result})
	}
	return entries, err
}

// DecodeBody and DecodeHistory decode what may be damaged.
func DecodeBody(b []byte) (t store.Task, hasHistory bool, err error) {
	hasHistory, err = readBody(b, &t)
	return t, hasHistory, err
}

// DecodeHistory decodes what may be damaged.
func DecodeHistory(b []byte) ([]store.Attempt, error) { return readHistory(b) }

// EncodeBundle gives a bundle as it is written.
func EncodeBundle(bodies ...[]byte) []byte {
	tasks := make([]*young, len(bodies))
	for i, body := range bodies {
		tasks[i] = &young{row: row{seq: int64(i), kind: 1, body: body}}
	}
	return encodeBundle(tasks)
}

// EncodeBody gives a body as it is written.
func EncodeBody(t store.Task) []byte { return appendBody(nil, &t, false) }

// Path is that of the file.
func (s *Store) Path() string { return s.file.path }

// Fault stands between the store and SQLite, at the writer's connection.
type Fault func(text string, run func() error) error

// Inject has the writer's statements go through the fault from now on, until the connection is opened again.
func (s *Store) Inject(f Fault) error {
	return s.write(context.Background(), 1, func(*tx) error {
		c := s.file.conn
		for text, st := range c.statements {
			c.statements[text] = &statement{raw: faultyStmt{st.raw, text, f}}
		}
		c.raw = faultyConn{c.raw, f}
		return nil
	})
}

// Unplug makes it impossible to open the writer's connection again, until plug is called.
func (s *Store) Unplug() (plug func()) {
	good := s.file.dsn
	s.file.dsn = "file:///does/not/exist"
	return func() { s.file.dsn = good }
}

type faultyConn struct {
	driver.Conn
	fault Fault
}

func (c faultyConn) Prepare(text string) (driver.Stmt, error) {
	raw, err := c.Conn.Prepare(text)
	return faultyStmt{raw, text, c.fault}, err
}

type faultyStmt struct {
	driver.Stmt
	text  string
	fault Fault
}

func (s faultyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (result driver.Result, err error) {
	err = s.fault(s.text, func() (err error) {
		result, err = s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
		return err
	})
	return result, err
}

func (s faultyStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = s.fault(s.text, func() (err error) {
		rows, err = s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
		return err
	})
	return rows, err
}

// WriterState gives settings of the writer's connection.
func (s *Store) WriterState(ctx context.Context, pragmas ...string) (state string, err error) {
	err = s.write(ctx, 1, func(x *tx) error {
		for _, name := range pragmas {
			err := x.query(ctx, "PRAGMA "+name, func(row []driver.Value) error {
				state += fmt.Sprint(name, row, " ")
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return state, err
}

// Open is how many statements and rows of the transaction are open.
func (t *Tx) Open() (statements, rows int) {
	t.lent.mu.Lock()
	defer t.lent.mu.Unlock()
	return len(t.lent.stmts), len(t.lent.rows)
}
