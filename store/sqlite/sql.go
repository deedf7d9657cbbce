package sqlite

import "strings"

// The statements of the store. Each that looks for something names its index (INDEXED BY), so that the plan is the same
// with and without statistics, and a missing index is an error instead of a slow day.

// chunk is how many rows a statement for many takes. A statement of 64 rows costs half of 64 statements of one; more
// rows gain nothing that can be measured.
const chunk = 64

const (
	// What it takes to end a run. A batch of outcomes reads only these: the others would be a third of its time.
	runColumns = `t.id, t.seq, t.state, t.run, t.attempt, t.max_attempts, t.cancel_requested, t.runner, t.node, t.scheduled_at`
	allColumns = runColumns + `, t.progress, t.kind, t.key, t.timeout, t.inserted_at, t.started_at, t.finished_at, t.args, t.result`

	byID  = `wanted CROSS JOIN tasks t INDEXED BY tasks_id ON t.id = wanted.k`
	bySeq = `wanted CROSS JOIN tasks t ON t.seq = wanted.k`
)

// keyed is a statement that looks up one key or a chunk of keys. Unused keys of a chunk are NULL, which nothing equals.
type keyed struct{ one, many string }

func lookUp(columns, from, order string) keyed {
	text := func(n int) string {
		return `WITH wanted (k) AS (VALUES ` + repeat("(?)", n) + `) SELECT ` + columns + ` FROM ` + from + order
	}
	return keyed{one: text(1), many: text(chunk)}
}

var (
	runsByID   = lookUp(runColumns, byID, "")
	tasksByID  = lookUp(allColumns, byID, "")
	tasksBySeq = lookUp(allColumns, bySeq, "")
	histories  = lookUp(`a.task, a.attempt, a.run, a.node, a.at, a.error, a.stack`,
		`wanted CROSS JOIN attempts a INDEXED BY attempts_task ON a.task = wanted.k`, ` ORDER BY a.task, a.run`)
)

// insertSizes are the numbers of rows for which there is an INSERT, the largest first.
var insertSizes = [...]int{chunk, 8, 1}

var insertTasks = [...]string{insertText(insertSizes[0]), insertText(insertSizes[1]), insertText(insertSizes[2])}

// insertColumns is how many values insertText takes for each row.
const insertColumns = 14

func insertText(rows int) string {
	return `INSERT INTO tasks (id, state, run, attempt, max_attempts, runner, kind, key, node, timeout, inserted_at,
		scheduled_at, started_at, args, cancel_requested, progress) VALUES ` +
		repeat(`(`+repeat("?", insertColumns)+`,0,0)`, rows) + ` ON CONFLICT (id) DO NOTHING`
}

func repeat(part string, n int) string { return strings.Repeat(part+",", n-1) + part }

const (
	// The end of a run changes these columns only. To bind and to compare fewer of them is worth 7% of a Finish.
	updateEnd = `UPDATE tasks SET state = ?, attempt = ?, node = '', scheduled_at = ?, finished_at = ?, result = ? WHERE seq = ?`
	// One that leaves the task waiting keeps the result of an earlier outcome, which was not read.
	updateWaits = `UPDATE tasks SET state = ?, attempt = ?, node = '', scheduled_at = ? WHERE seq = ?`

	updateTask = `UPDATE tasks SET state = ?, run = ?, attempt = ?, max_attempts = ?, cancel_requested = ?, progress = ?,
		node = ?, scheduled_at = ?, started_at = ?, finished_at = ?, result = ? WHERE seq = ?`

	updateProgress = `UPDATE tasks INDEXED BY tasks_id SET progress = ? WHERE id = ? AND run = ? AND state = 3`

	// What is older than the newest entries that are kept; run only for tasks with so many runs.
	deleteAttempts = `DELETE FROM attempts WHERE id IN
		(SELECT id FROM attempts INDEXED BY attempts_task WHERE task = ? ORDER BY run DESC LIMIT -1 OFFSET ?)`

	insertAttempt = `INSERT INTO attempts (task, attempt, run, node, at, error, stack) VALUES (?, ?, ?, ?, ?, ?, ?)`

	addCount = `INSERT INTO counts (runner, state, tasks) VALUES (?, ?, ?)
		ON CONFLICT (runner, state) DO UPDATE SET tasks = tasks + excluded.tasks`

	selectCounts    = `SELECT state, sum(tasks) FROM counts WHERE runner = ? GROUP BY state`
	selectAllCounts = `SELECT state, sum(tasks) FROM counts GROUP BY state`

	// The waiting tasks of one kind in the order of claims. It is read only as far as needed.
	selectWaiting = `SELECT seq, scheduled_at FROM tasks INDEXED BY tasks_waiting
		WHERE state < 3 AND runner = ? AND kind = ? ORDER BY scheduled_at, seq`

	selectRunning = `SELECT ` + runColumns + ` FROM tasks t INDEXED BY tasks_running WHERE state = 3 AND runner = ? ORDER BY seq`

	selectCancelRequests = `SELECT id FROM tasks INDEXED BY tasks_running
		WHERE state = 3 AND runner = ? AND node = ? AND cancel_requested = 1`

	selectLast = `SELECT seq FROM tasks INDEXED BY tasks_completed
		WHERE state = 4 AND key <> '' AND kind = ? AND key = ? ORDER BY seq DESC LIMIT 1`

	selectLastSeq = `SELECT max(seq) FROM tasks`

	// A kind of which there are no more than so many is read by its own index.
	countKind = `SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_kind WHERE kind = ? LIMIT ?)`

	// Pages: of all states, of the running, of one other state, of a rare kind. The filter by runner has no index of its
	// own; what it costs is told at Store.List.
	page             = ` AND seq < ? AND (? = '' OR kind = ?) AND (? = '' OR runner = ?) ORDER BY seq DESC LIMIT ?`
	selectPage       = `SELECT seq FROM tasks NOT INDEXED WHERE true` + page
	selectRunPage    = `SELECT seq FROM tasks INDEXED BY tasks_running WHERE state = 3` + page
	selectStatePage  = `SELECT seq FROM tasks INDEXED BY tasks_state WHERE state <> 3 AND state = ?` + page
	selectKindPage   = `SELECT seq FROM tasks INDEXED BY tasks_kind WHERE kind = ?` + page
	selectKindState  = `SELECT seq FROM tasks INDEXED BY tasks_kind WHERE state = ? AND kind = ?` + page
	beginWriting     = `BEGIN IMMEDIATE`
	beginReading     = `BEGIN`
	commit           = `COMMIT`
	rollback         = `ROLLBACK`
	truncateLog      = `PRAGMA wal_checkpoint(TRUNCATE)`
	writeUserVersion = `PRAGMA user_version = ` // and the number
)
