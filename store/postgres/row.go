package postgres

import (
	"strings"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// row is a task with what only this store knows of it.
type row struct {
	store.Task

	attempts int   // how many entries its history has had; History has only those that were added since it was loaded
	claim    int64 // which call made it run, or inserted it
}

// column is one column that the tables of tasks and of outcomes have in common.
type column struct {
	name  string
	array string // the type of an array of it
	oid   uint32
	size  int // of most values
	add   func(*array, *row)
	scan  func(*columns, *row)
}

// taskColumns are all that tasks and finished have in common, in their order.
func taskColumns() []column {
	return []column{
		{"id", "uuid[]", oidUUID, 16,
			func(a *array, r *row) { id := parseID(r.ID); a.bytes(id[:]) }, func(c *columns, r *row) { r.ID = c.uuid().String() }},
		{"seq", "bigint[]", oidInt8, 8,
			func(a *array, r *row) { a.int64(r.Seq) }, func(c *columns, r *row) { r.Seq = c.int64() }},
		{"runner", "text[]", oidText, 16,
			func(a *array, r *row) { a.text(r.Runner) }, func(c *columns, r *row) { r.Runner = c.text() }},
		{"kind", "text[]", oidText, 16,
			func(a *array, r *row) { a.text(r.Kind) }, func(c *columns, r *row) { r.Kind = c.text() }},
		{"key", "text[]", oidText, 16,
			func(a *array, r *row) { a.text(r.Key) }, func(c *columns, r *row) { r.Key = c.text() }},
		{"args", "bytea[]", oidBytea, 128,
			func(a *array, r *row) { a.bytes(r.Args) }, func(c *columns, r *row) { r.Args = c.bytes() }},
		{"priority", "smallint[]", oidInt2, 2,
			func(a *array, r *row) { a.int16(r.Priority) }, func(c *columns, r *row) { r.Priority = c.int16() }},
		{"state", "text[]", oidText, 12,
			func(a *array, r *row) { a.text(string(r.State)) }, func(c *columns, r *row) { r.State = state(c.next(-1)) }},
		{"run", "bigint[]", oidInt8, 8,
			func(a *array, r *row) { a.int64(r.Run) }, func(c *columns, r *row) { r.Run = c.int64() }},
		{"attempt", "integer[]", oidInt4, 4,
			func(a *array, r *row) { a.int32(r.Attempt) }, func(c *columns, r *row) { r.Attempt = c.int32() }},
		{"max_attempts", "integer[]", oidInt4, 4,
			func(a *array, r *row) { a.int32(r.MaxAttempts) }, func(c *columns, r *row) { r.MaxAttempts = c.int32() }},
		{"timeout_micros", "bigint[]", oidInt8, 8,
			func(a *array, r *row) { a.int64(r.Timeout.Microseconds()) },
			func(c *columns, r *row) { r.Timeout = time.Duration(c.int64()) * time.Microsecond }},
		{"node", "text[]", oidText, 40,
			func(a *array, r *row) { a.text(r.Node) }, func(c *columns, r *row) { r.Node = c.text() }},
		{"cancel_requested", "boolean[]", oidBool, 1,
			func(a *array, r *row) { a.bool(r.CancelRequested) }, func(c *columns, r *row) { r.CancelRequested = c.bool() }},
		{"progress", "double precision[]", oidFloat8, 8,
			func(a *array, r *row) { a.float64(r.Progress) }, func(c *columns, r *row) { r.Progress = c.float64() }},
		{"result", "bytea[]", oidBytea, 64,
			func(a *array, r *row) { a.bytes(r.Result) }, func(c *columns, r *row) { r.Result = c.bytes() }},
		{"attempts", "integer[]", oidInt4, 4,
			func(a *array, r *row) { a.int32(r.attempts) }, func(c *columns, r *row) { r.attempts = c.int32() }},
		{"inserted_at", "timestamptz[]", oidTimestamptz, 8,
			func(a *array, r *row) { a.time(r.InsertedAt) }, func(c *columns, r *row) { r.InsertedAt = c.time() }},
		{"scheduled_at", "timestamptz[]", oidTimestamptz, 8,
			func(a *array, r *row) { a.time(r.ScheduledAt) }, func(c *columns, r *row) { r.ScheduledAt = c.time() }},
		{"started_at", "timestamptz[]", oidTimestamptz, 8,
			func(a *array, r *row) { a.time(r.StartedAt) }, func(c *columns, r *row) { r.StartedAt = c.time() }},
		{"finished_at", "timestamptz[]", oidTimestamptz, 8,
			func(a *array, r *row) { a.time(r.FinishedAt) }, func(c *columns, r *row) { r.FinishedAt = c.time() }},
	}
}

// state gives the constant, which costs no allocation.
func state(name []byte) store.State {
	for _, s := range store.States {
		if string(s) == string(name) {
			return s
		}
	}
	return store.State(name)
}

// layout is the columns in the forms in which statements and rows need them.
type layout struct {
	columns []column
	names   string // "id, seq, …"
	from    string // "unnest($1::uuid[]) AS id, …": a row for each element of the parameters
}

// newLayout makes them. Functions in the list of a SELECT are read in step; in FROM, each would be written to a table of its
// own first, which takes half as long again.
func newLayout() *layout {
	l := &layout{columns: taskColumns()}
	var names, from []string
	for i, c := range l.columns {
		names = append(names, c.name)
		from = append(from, "unnest($"+decimal(i+1)+"::"+c.array+") AS "+c.name)
	}
	l.names, l.from = strings.Join(names, ", "), strings.Join(from, ", ")
	return l
}

func decimal(n int) string {
	if n >= 10 {
		return decimal(n/10) + decimal(n%10)
	}
	return string(rune('0' + n))
}

// args makes the parameters of the rows.
func (l *layout) args(rows []row) [][]byte {
	args := make([][]byte, len(l.columns), len(l.columns)+4)
	for i, c := range l.columns {
		a := newArray(c.oid, len(rows), c.size)
		for j := range rows {
			c.add(a, &rows[j])
		}
		args[i] = a.value()
	}
	return args
}

// scan reads a row that begins with the columns.
func (l *layout) scan(c *columns) (r row) {
	for i := range l.columns {
		l.columns[i].scan(c, &r)
	}
	return r
}

// prefixed is the names with the name of a table before each.
func (l *layout) prefixed(table string) string {
	return table + "." + strings.ReplaceAll(l.names, ", ", ", "+table+".")
}
