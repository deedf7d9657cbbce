package postgres

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskrunner-go/taskrunner/store"
)

// Tx gives what can be done with tasks in a transaction of the caller's. It must be one of the database of the store. Until its
// commit, nobody else sees what was done in it; an id that it inserts, others who insert it wait for. In the isolation levels
// above READ COMMITTED, errors of serialization are the caller's to try again, as ever; Complete answers one too for a task that was
// started after the transaction had taken its snapshot.
//
// An outcome of Complete gets its Pos some moments after the commit; until then, the task's Pos is zero, and List has it among those that
// run.
//
// With a transaction that is nil or has ended, all calls answer store.ErrInvalid.
func (s *Store) Tx(tx pgx.Tx) store.Tx {
	if tx == nil {
		return &callersTx{s: s, query: noTx}
	}
	return &callersTx{s: s, query: untilEnd(queryPgx(tx))}
}

// SQLTx is Tx for a transaction of database/sql, through whatever driver for PostgreSQL.
func (s *Store) SQLTx(tx *sql.Tx) store.Tx {
	if tx == nil {
		return &callersTx{s: s, query: noTx}
	}
	return &callersTx{s: s, query: untilEnd(querySQL(tx))}
}

// callersTx implements store.Tx.
type callersTx struct {
	s     *Store
	query query
}

// query runs a statement whose rows are a text and a number. It is all that we need of a driver.
type query func(ctx context.Context, text string, args []any, row func(text string, number int64) error) error

// noTx is that of no transaction.
func noTx(context.Context, string, []any, func(string, int64) error) error {
	return fmt.Errorf("%w: tx is nil: it must be an open transaction of the database of the store", store.ErrInvalid)
}

// untilEnd tells of a transaction that has ended. That is the caller's mistake, where all else that a driver refuses to send is the
// connection's.
func untilEnd(q query) query {
	return func(ctx context.Context, text string, args []any, row func(string, int64) error) error {
		err := q(ctx, text, args, row)
		if errors.Is(err, pgx.ErrTxClosed) || errors.Is(err, sql.ErrTxDone) {
			return fmt.Errorf("%w: tx has ended (%w): it must be an open transaction of the database of the store", store.ErrInvalid, err)
		}
		return err
	}
}

func queryPgx(tx pgx.Tx) query {
	return func(ctx context.Context, text string, args []any, row func(string, int64) error) error {
		rows, err := tx.Query(ctx, text, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		return eachRow(rows, row)
	}
}

func querySQL(tx *sql.Tx) query {
	return func(ctx context.Context, text string, args []any, row func(string, int64) error) (err error) {
		rows, err := tx.QueryContext(ctx, text, args...) //nolint:rowserrcheck // eachRow looks
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		return eachRow(rows, row)
	}
}

func eachRow(rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
}, row func(string, int64) error) error {
	for rows.Next() {
		var text string
		var number int64
		if err := errors.Join(rows.Scan(&text, &number)); err != nil {
			return err
		}
		if err := row(text, number); err != nil {
			return err
		}
	}
	return rows.Err()
}

// jsonTask is a new task as a statement reads it. The arguments are in base64, which encoding/json does by itself.
type jsonTask struct {
	I           int       `json:"i"`
	ID          string    `json:"id"`
	Runner      string    `json:"runner"`
	Kind        string    `json:"kind"`
	Key         string    `json:"key"`
	Args        []byte    `json:"args"`
	Priority    int       `json:"priority"`
	State       string    `json:"state"`
	MaxAttempts int       `json:"max_attempts"` //nolint:tagliatelle // the name of the column
	Timeout     int64     `json:"timeout"`
	InsertedAt  time.Time `json:"inserted_at"`
	ScheduledAt time.Time `json:"scheduled_at"`
}

// Insert implements store.Inserter.
func (x *callersTx) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) (inserted []store.Inserted, err error) {
	if err := errors.Join(store.ValidTime("now", now), store.ValidateAll(tasks), nobodyRuns(tasks)); err != nil {
		return nil, err
	}
	err = x.s.call(ctx, "inserting in a transaction", func() error {
		for len(tasks) > 0 {
			part := firstOf(tasks)
			tasks = tasks[len(part):]
			answers, err := x.insert(ctx, now, part)
			if err != nil {
				return err
			}
			inserted = append(inserted, answers...)
		}
		return x.tellWork(ctx, inserted)
	})
	if err != nil {
		return nil, err
	}
	return inserted, nil
}

func nobodyRuns(tasks []store.NewTask) error {
	for i := range tasks {
		if tasks[i].Node != "" {
			return fmt.Errorf("%w: Node is %q: it must be empty in a transaction (task %d of %d)", store.ErrInvalid, tasks[i].Node, i+1, len(tasks))
		}
	}
	return nil
}

// statementBytes is about how large a statement gets.
const statementBytes = 4 << 20

// firstOf gives as many tasks as one statement takes.
func firstOf(tasks []store.NewTask) []store.NewTask {
	size := 0
	for i := range tasks {
		if size += len(tasks[i].Args); i == blockSize || i > 0 && size > statementBytes {
			return tasks[:i]
		}
	}
	return tasks
}

// insert inserts what does not exist, and then takes back what turns out to exist: see Store.tryKnown.
func (x *callersTx) insert(ctx context.Context, now time.Time, tasks []store.NewTask) ([]store.Inserted, error) {
	rows, ids := make([]jsonTask, len(tasks)), make([]string, len(tasks))
	answers := make([]store.Inserted, len(tasks))
	for i := range tasks {
		t := store.ApplyInsert(now, tasks[i])
		answers[i].Task, ids[i] = t, t.ID
		rows[i] = jsonTask{
			I: i, ID: t.ID, Runner: t.Runner, Kind: t.Kind, Key: t.Key, Args: append([]byte{}, t.Args...), Priority: t.Priority, State: string(t.State),
			MaxAttempts: t.MaxAttempts, Timeout: t.Timeout.Microseconds(), InsertedAt: t.InsertedAt, ScheduledAt: t.ScheduledAt,
		}
	}
	seqs, err := x.insertRows(ctx, rows, ids)
	if err != nil {
		return nil, err
	}
	for i := range answers {
		if seq := seqs[answers[i].ID]; seq > 0 {
			answers[i].Seq = seq
			delete(seqs, answers[i].ID) // given again, it exists
			continue
		}
		existing, err := x.get(ctx, answers[i].ID)
		if err != nil {
			return nil, err
		}
		answers[i] = store.Inserted{Task: existing, Existed: true}
	}
	return answers, nil
}

// insertRows gives the Seqs of those that were inserted.
func (x *callersTx) insertRows(ctx context.Context, rows []jsonTask, ids []string) (map[string]int64, error) {
	given, err := json.Marshal(rows)
	if err != nil {
		return nil, err
	}
	all, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	seqs, claim := map[string]int64{}, newClaim()
	err = x.query(ctx, x.s.sql.insertInTx.text, []any{string(given), claim}, func(id string, seq int64) error {
		seqs[id] = seq
		return nil
	})
	if err != nil {
		return nil, err
	}
	return seqs, x.query(ctx, x.s.sql.undoInTx.text, []any{string(all), claim}, func(id string, _ int64) error {
		delete(seqs, id)
		return nil
	})
}

// get gives a task that exists. If it is in a bundle, it is read outside the transaction.
func (x *callersTx) get(ctx context.Context, id string) (store.Task, error) {
	r, there, err := x.find(ctx, id)
	if err != nil || there {
		return r, err
	}
	return x.s.Get(ctx, id)
}

// find looks for a row of the task.
func (x *callersTx) find(ctx context.Context, id string) (task store.Task, there bool, err error) {
	err = x.query(ctx, x.s.sql.locateInTx.text, []any{id}, func(text string, _ int64) error {
		there = true
		task, err = taskOfJSON(text)
		return err
	})
	if err != nil || !there {
		return task, there, err
	}
	return task, there, x.query(ctx, x.s.sql.historyInTx.text, []any{task.Seq, int64(store.MaxHistory)}, func(text string, _ int64) error {
		attempt, err := attemptOfJSON(text)
		task.History = append(task.History, attempt)
		return err
	})
}

func (x *callersTx) tellWork(ctx context.Context, inserted []store.Inserted) error {
	told := map[string]bool{}
	for i := range inserted {
		if t := &inserted[i]; t.State.Waiting() && !t.Existed && !told[t.Runner] {
			told[t.Runner] = true
			if err := x.tell(ctx, t.Runner, store.SignalWork); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell tells the others when the transaction commits.
func (x *callersTx) tell(ctx context.Context, runner string, signals store.Signal) error {
	return x.query(ctx, x.s.sql.tellInTx.text, []any{payload(nobody, runner, signals)}, func(string, int64) error { return nil })
}

// Complete implements store.Tx.
func (x *callersTx) Complete(ctx context.Context, outcome store.Outcome) error {
	if err := outcome.Validate(); err != nil {
		return err
	}
	if outcome.To != store.Completed {
		return fmt.Errorf("%w: To is %q: it must be completed in a transaction", store.ErrInvalid, outcome.To)
	}
	return x.s.call(ctx, "completing in a transaction", func() error {
		if err := x.s.growUp(ctx, parseID(outcome.TaskID)); err != nil {
			return err
		}
		done, err := x.complete(ctx, outcome)
		if err != nil || done {
			return err
		}
		return x.explain(ctx, outcome)
	})
}

// complete reports whether it has completed the task.
func (x *callersTx) complete(ctx context.Context, o store.Outcome) (done bool, err error) {
	args := []any{o.TaskID, o.Run, base64.StdEncoding.EncodeToString(o.Result), store.Micro(o.FinishedAt).Format(time.RFC3339Nano)}
	runner := ""
	err = x.query(ctx, x.s.sql.completeInTx.text, args, func(text string, _ int64) error {
		done, runner = true, text
		return nil
	})
	if err != nil || !done {
		return false, err
	}
	return true, x.tell(ctx, runner, signalEnded)
}

// explain finds out why a task could not be completed. If it is in a bundle of another process, it is taken out of it, and then it
// can.
func (x *callersTx) explain(ctx context.Context, o store.Outcome) error {
	task, there, err := x.find(ctx, o.TaskID)
	if err != nil {
		return err
	}
	if there {
		changed, err := store.ApplyOutcome(&task, o)
		if changed {
			return errUnseen
		}
		return err
	}
	if err := x.s.bringOut(ctx, parseID(o.TaskID)); err != nil {
		return err
	}
	done, err := x.complete(ctx, o)
	if err == nil && !done {
		return errUnseen
	}
	return err
}

// errUnseen is told to a transaction whose snapshot is older than the row of the task.
var errUnseen = &innerError{error: errors.New("the task is newer than the snapshot of the transaction, which must be begun again"), verdict: final}

// bringOut makes a row of tasks of one that is in a bundle, in a transaction of our own.
func (s *Store) bringOut(ctx context.Context, id uuid) error {
	return s.persist(ctx, lent{s}, func(ctx context.Context, l *link) error {
		all, err := s.locate(ctx, l, []uuid{id})
		switch f := all[id]; {
		case err != nil:
			return err
		case f.place == nowhere:
			return notFound(id)
		case f.place == inBundle:
			t := &txn{l: l}
			defer t.end()
			_, err := s.unbundleOne(ctx, t, f.bundle)
			return err
		}
		return nil
	})
}

// jsonRow is a row of tasks or of finished as row_to_json writes it, but for the bytes, which are in base64.
type jsonRow struct {
	Pos, Seq, Run, Timeout int64
	ID, Runner, Kind, Key  string
	Args, Result           []byte
	Priority, Attempt      int
	MaxAttempts            int `json:"max_attempts"`
	State                  store.State
	Node                   string
	CancelRequested        bool `json:"cancel_requested"`
	Progress               float64
	InsertedAt             time.Time  `json:"inserted_at"`
	ScheduledAt            time.Time  `json:"scheduled_at"`
	StartedAt              *time.Time `json:"started_at"`
	FinishedAt             *time.Time `json:"finished_at"`
}

func taskOfJSON(text string) (store.Task, error) {
	var r jsonRow
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return store.Task{}, fmt.Errorf("%w: %w", errDecode, err)
	}
	return store.Task{
		ID: r.ID, Seq: r.Seq, Runner: r.Runner, Kind: r.Kind, Key: r.Key, Args: nilIfEmpty(r.Args), Priority: r.Priority, State: r.State, Run: r.Run,
		Attempt: r.Attempt, MaxAttempts: r.MaxAttempts, Timeout: time.Duration(r.Timeout) * time.Microsecond, Node: r.Node,
		CancelRequested: r.CancelRequested, Progress: r.Progress, Result: nilIfEmpty(r.Result), Pos: r.Pos, InsertedAt: r.InsertedAt.UTC(),
		ScheduledAt: r.ScheduledAt.UTC(), StartedAt: utc(r.StartedAt), FinishedAt: utc(r.FinishedAt),
	}, nil
}

func nilIfEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

type jsonAttempt struct {
	Attempt            int
	Run                int64
	Node, Error, Stack string
	State              store.State
	StartedAt          *time.Time `json:"started_at"`
	FinishedAt         time.Time  `json:"finished_at"`
}

func attemptOfJSON(text string) (store.Attempt, error) {
	var a jsonAttempt
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return store.Attempt{}, fmt.Errorf("%w: %w", errDecode, err)
	}
	return store.Attempt{
		Attempt: a.Attempt, Run: a.Run, Node: a.Node, State: a.State, StartedAt: utc(a.StartedAt), FinishedAt: a.FinishedAt.UTC(), Error: a.Error,
		Stack: a.Stack,
	}, nil
}
