package sqlite

import "strings"

// The statements of the store. Each that looks for something names its index (INDEXED BY), so that the plan is the same
// with and without statistics, and a missing index is an error instead of a slow day.

// chunk is how many rows a statement for many takes. A statement of 64 rows costs half of 64 statements of one; more
// rows gain nothing that can be measured.
const chunk = 64

const (
	taskColumns     = `t.id, t.seq, t.kind, t.key, t.body, t.result, t.state`
	finishedColumns = `f.id, f.seq, f.kind, f.key, f.body, f.result, f.state, f.pos, f.finished_at, f.superseded, f.history`

	latest = `f.superseded = 0`
)

// keyed is a statement that looks up one key or a chunk of keys. Unused keys of a chunk are NULL, which nothing equals.
type keyed struct{ one, many string }

func lookUp(columns, from, order string) keyed {
	text := func(n int) string {
		return `WITH wanted (k) AS (VALUES ` + repeat("(?)", n) + `) SELECT ` + columns + ` FROM wanted CROSS JOIN ` + from + order
	}
	return keyed{one: text(1), many: text(chunk)}
}

var (
	tasksByID     = lookUp(taskColumns, `taskrunner_tasks t INDEXED BY taskrunner_tasks_id ON t.id = wanted.k`, "")
	tasksBySeq    = lookUp(taskColumns, `taskrunner_tasks t ON t.seq = wanted.k`, "")
	finishedByID  = lookUp(finishedColumns, `taskrunner_finished f INDEXED BY taskrunner_finished_id ON f.id = wanted.k AND `+latest, "")
	finishedByPos = lookUp(finishedColumns, `taskrunner_finished f ON f.pos = wanted.k`, "")
	prunedByPos   = lookUp(`f.pos, f.id, f.kind, f.state, f.superseded`, `taskrunner_finished f ON f.pos = wanted.k`, "")
	histories     = lookUp(`a.task, a.attempt, a.run, a.node, a.state, a.started_at, a.finished_at, a.error, a.stack`,
		`taskrunner_attempts a INDEXED BY taskrunner_attempts_task ON a.task = wanted.k`, ` ORDER BY a.task, a.id`)
)

// insertSizes are the numbers of rows for which there is an INSERT, the largest first.
var insertSizes = [...]int{chunk, 8, 1}

// insert is a statement that inserts rows, for each of the sizes.
type insert struct {
	columns int
	texts   [len(insertSizes)]string
}

func inserting(columns int, into, values string) (s insert) {
	s.columns = columns
	for i, rows := range insertSizes {
		s.texts[i] = `INSERT INTO ` + into + ` VALUES ` + repeat(values, rows)
	}
	return s
}

var (
	insertTasks = inserting(10,
		`taskrunner_tasks (seq, id, kind, state, priority, scheduled_at, cancel_requested, key, body, result)`, `(?,?,?,?,?,?,?,?,?,?)`)
	insertFinished = inserting(9,
		`taskrunner_finished (pos, id, seq, kind, state, finished_at, key, body, result, superseded)`, `(?,?,?,?,?,?,?,?,?,0)`)
)

// deletes are statements that delete one row or a chunk of rows.
var (
	deleteTasks    = keyed{one: `DELETE FROM taskrunner_tasks WHERE seq = ?`, many: deleting(`taskrunner_tasks WHERE seq`)}
	deleteFinished = keyed{one: `DELETE FROM taskrunner_finished WHERE pos = ?`, many: deleting(`taskrunner_finished WHERE pos`)}
	deleteHistory  = keyed{
		one:  `DELETE FROM taskrunner_attempts INDEXED BY taskrunner_attempts_task WHERE task = ?`,
		many: deleting(`taskrunner_attempts INDEXED BY taskrunner_attempts_task WHERE task`),
	}
)

func deleting(from string) string { return `DELETE FROM ` + from + ` IN (` + repeat("?", chunk) + `)` }

func repeat(part string, n int) string { return strings.Repeat(part+",", n-1) + part }

const (
	selectNumbers = `SELECT mark, seq, pos FROM taskrunner_meta`
	updateNumbers = `UPDATE taskrunner_meta SET mark = ?, seq = ?, pos = ?`

	selectIdentity = `SELECT id FROM taskrunner_identity`

	selectKinds = `SELECT id, runner, kind FROM taskrunner_kinds ORDER BY id`
	insertKind  = `INSERT INTO taskrunner_kinds (id, runner, kind) VALUES (?, ?, ?)`

	selectBundles = `SELECT id, tasks FROM taskrunner_bundles ORDER BY id`
	insertBundle  = `INSERT INTO taskrunner_bundles (id, tasks) VALUES (?, ?)`
	deleteBundle  = `DELETE FROM taskrunner_bundles WHERE id = ?`

	updateTask = `UPDATE taskrunner_tasks SET state = ?, scheduled_at = ?, cancel_requested = ?, body = ?, result = ?
		WHERE seq = ?`

	// The old outcome of a task that runs again.
	supersede = `UPDATE taskrunner_finished SET superseded = 1, history = ? WHERE pos = ?`

	insertAttempt = `INSERT INTO taskrunner_attempts (task, attempt, run, node, state, started_at, finished_at, error, stack)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
	// What is older than the newest entries that are kept; run only for tasks that may have so many.
	trimHistory = `DELETE FROM taskrunner_attempts WHERE id IN
		(SELECT id FROM taskrunner_attempts INDEXED BY taskrunner_attempts_task WHERE task = ? ORDER BY id DESC LIMIT -1 OFFSET ?)`

	selectNoted   = `SELECT kind, state, tasks FROM taskrunner_counts`
	countTasks    = `SELECT kind, state, count(*) FROM taskrunner_tasks GROUP BY kind, state`
	countFinished = `SELECT kind, state, count(*) FROM taskrunner_finished WHERE superseded = 0 GROUP BY kind, state`
	deleteCounts  = `DELETE FROM taskrunner_counts`

	addCount = `INSERT INTO taskrunner_counts (kind, state, tasks) VALUES (?, ?, ?)
		ON CONFLICT (kind, state) DO UPDATE SET tasks = tasks + excluded.tasks`

	// The kinds that a statement is about are a list in JSON; NULL is all kinds.
	ofKinds = `(?1 IS NULL OR kind IN (SELECT value FROM json_each(?1)))`

	selectCounts = `SELECT state, sum(tasks) FROM taskrunner_counts WHERE ` + ofKinds + ` GROUP BY state`

	// The tasks of one kind that can be claimed whatever the time is, in the order of claims. It is read only as far as needed.
	selectAvailable = `SELECT priority, scheduled_at, seq FROM taskrunner_tasks INDEXED BY taskrunner_tasks_available
		WHERE state = 1 AND kind = ? ORDER BY priority, scheduled_at, seq`
	// Those of one kind and priority that wait for their time, and the most urgent priority that one has.
	selectTimed = `SELECT priority, scheduled_at, seq FROM taskrunner_tasks INDEXED BY taskrunner_tasks_timed
		WHERE state IN (0, 2) AND kind = ? AND priority = ? ORDER BY scheduled_at, seq`
	selectUrgency = `SELECT min(priority) FROM taskrunner_tasks INDEXED BY taskrunner_tasks_timed
		WHERE state IN (0, 2) AND kind = ? AND priority > ?`

	// Running tasks of some kinds; of those, the ones to be cancelled.
	ofTheseKinds  = `kind IN (SELECT value FROM json_each(?))`
	selectRunning = `SELECT ` + taskColumns + ` FROM taskrunner_tasks t INDEXED BY taskrunner_tasks_running
		WHERE state = 3 AND ` + ofTheseKinds
	selectCancels = selectRunning + ` AND cancel_requested = 1`

	selectLast = `SELECT max(pos) FROM taskrunner_finished INDEXED BY taskrunner_finished_key
		WHERE key IS NOT NULL AND state = 4 AND superseded = 0 AND kind = ? AND key = ?`

	// Pages. The filters have no index of their own; what they cost is told at Store.List.
	selectTaskPage = `SELECT ` + taskColumns + ` FROM taskrunner_tasks t NOT INDEXED
		WHERE ` + ofKinds + ` AND state IN (SELECT value FROM json_each(?2)) AND seq < ?3 ORDER BY seq DESC LIMIT ?4`
	selectRunningPage = `SELECT ` + taskColumns + ` FROM taskrunner_tasks t INDEXED BY taskrunner_tasks_running
		WHERE state = 3 AND ` + ofKinds + ` AND seq < ?2 ORDER BY seq DESC LIMIT ?3`
	selectFinishedPage = `SELECT ` + finishedColumns + ` FROM taskrunner_finished f NOT INDEXED
		WHERE ` + latest + ` AND ` + ofKinds + ` AND state IN (SELECT value FROM json_each(?2)) AND pos < ?3 ORDER BY pos DESC LIMIT ?4`
	selectRarePage = `SELECT ` + finishedColumns + ` FROM taskrunner_finished f INDEXED BY taskrunner_finished_rare
		WHERE state > 4 AND ` + latest + ` AND ` + ofKinds + ` AND state = ?2 AND pos < ?3 ORDER BY pos DESC LIMIT ?4`

	selectOutcomes = `SELECT ` + finishedColumns + ` FROM taskrunner_finished f NOT INDEXED
		WHERE ` + ofKinds + ` AND pos > ?2 ORDER BY pos LIMIT ?3`

	// Outcomes of a runner that may be old enough to be deleted, up to what must be kept.
	selectOldCompleted = `SELECT pos, finished_at FROM taskrunner_finished NOT INDEXED
		WHERE ` + ofTheseKinds + ` AND state = ? AND pos BETWEEN ? AND ? ORDER BY pos`
	selectOldRare = `SELECT pos, finished_at FROM taskrunner_finished INDEXED BY taskrunner_finished_rare
		WHERE state > 4 AND ` + ofTheseKinds + ` AND state = ? AND pos BETWEEN ? AND ? ORDER BY pos`

	selectSubscribers  = `SELECT name, pos, created_at, seen_at FROM taskrunner_subscribers WHERE runner = ? ORDER BY name`
	selectSubscriber   = `SELECT name, pos, created_at, seen_at FROM taskrunner_subscribers WHERE runner = ? AND name = ?`
	selectAcknowledged = `SELECT coalesce(min(pos), 9223372036854775807) FROM taskrunner_subscribers
		WHERE runner = ?1 AND (?2 IS NULL OR seen_at >= ?2)`
	upsertSubscriber = `INSERT INTO taskrunner_subscribers (runner, name, pos, created_at, seen_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (runner, name) DO UPDATE SET pos = excluded.pos, seen_at = excluded.seen_at`
	deleteSubscriber = `DELETE FROM taskrunner_subscribers WHERE runner = ? AND name = ?`

	selectPruned    = `SELECT pos FROM taskrunner_pruned WHERE runner = ?`
	selectAllPruned = `SELECT max(pos) FROM taskrunner_pruned`
	updatePruned    = `INSERT INTO taskrunner_pruned (runner, pos) VALUES (?, ?)
		ON CONFLICT (runner) DO UPDATE SET pos = max(pos, excluded.pos)`

	beginWriting     = `BEGIN IMMEDIATE`
	beginReading     = `BEGIN`
	commit           = `COMMIT`
	rollback         = `ROLLBACK`
	giveBackPages    = `PRAGMA incremental_vacuum(256)`
	truncateLog      = `PRAGMA wal_checkpoint(TRUNCATE)`
	readUserVersion  = `PRAGMA user_version`
	writeUserVersion = `PRAGMA user_version = ` // and the number
)
