package postgres

import (
	"context"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/internal/migrations"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Describe makes our tables in a schema, and gives what schema.txt is to be.
func Describe(ctx context.Context, pool *pgxpool.Pool, name string) (string, error) {
	l, err := take(ctx, pool, false)
	if err != nil {
		return "", err
	}
	defer l.give()
	s := &schema{name: name, quoted: quoteName(name), t: &txn{l: l}}
	if err := s.bring(ctx, newest); err != nil {
		return "", err
	}
	names := `SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = {name} AND c.relname <> 'migrations'`
	text := strings.ReplaceAll(strings.ReplaceAll(describe, "{names}", names), "{name}", quoteText(name))
	var lines []string
	err = s.run(ctx, text, func(c *columns) { lines = append(lines, c.text()) })
	return strings.Join(lines, "\n") + "\n", err
}

// Newest is the version of the schema, and Migrations how many there are.
const Newest = newest

func Migrations() (int, error) {
	steps, err := migrations.Read(migrationFiles)
	return len(steps), err
}

// ErrSpoolFull is in what Finish answers.
var ErrSpoolFull = errSpoolFull

// Texts gives the texts of all statements by their names, for a schema.
func Texts(schema string) map[string]string {
	texts := map[string]string{}
	all := reflect.ValueOf(newStatements(schema)).Elem()
	for i := range all.NumField() {
		if field := all.Field(i); field.Type() == reflect.TypeFor[statement]() {
			texts[all.Type().Field(i).Name] = field.FieldByName("text").String()
		}
	}
	return texts
}

// Contact is what tells of outages.
type Contact struct{ contact }

// Calm is how long there is none before there is another.
const Calm = calm

func NewContact(logger *slog.Logger) *Contact { return &Contact{contact{logger: logger}} }

func (c *Contact) Lose(reason error, now time.Time) { c.lose(reason, now) }
func (c *Contact) Find()                            { c.find() }

// Watch is the decision about who is dead.
type Watch struct{ watch[string] }

func NewWatch() *Watch { return &Watch{watch[string]{deadAfter: deadAfter}} }

func (w *Watch) Look(now time.Duration, beats map[string]int64) []string { return w.look(now, beats) }
func (w *Watch) Lose()                                                   { w.lose() }

// Bundled packs tasks into one bundle and unpacks it; nil if they do not fit into one.
func Bundled(tasks []store.Task) ([]store.Task, error) {
	p := newPacker(len(tasks), 0)
	for i := range tasks {
		if !p.add(&tasks[i], i) {
			return nil, nil
		}
	}
	return p.pack().unpacked()
}

// Unbundled unpacks what may be anything.
func Unbundled(n int, tasks []byte) ([]store.Task, error) {
	b := &bundle{n: n, tasks: tasks}
	return b.unpacked()
}

func (b *bundle) unpacked() ([]store.Task, error) {
	rows, err := b.appendWanted(nil, func(*row) bool { return true })
	var tasks []store.Task
	for i := range rows {
		tasks = append(tasks, rows[i].Task)
	}
	return tasks, err
}

// SpoolRecord is an outcome as it is in a spool, and SpoolRecords reads such.
func SpoolRecord(o store.Outcome) []byte                      { return appendRecordOf(nil, &o) }
func SpoolRecords(b []byte) (outcomes []store.Outcome, n int) { return readRecords(b) }

// Payload and ParsePayload are what stores tell each other.
func Payload(from, runner string, signals store.Signal) string { return payload(from, runner, signals) }

func ParsePayload(text string) (from, runner string, signals store.Signal, ok bool) {
	return parsePayload(text)
}

// CanonicalID takes an id apart and puts it together again.
func CanonicalID(id string) string { return parseID(id).String() }
