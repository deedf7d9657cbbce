package postgres

import (
	"hash/fnv"
	"strconv"
	"strings"
)

// statements are the texts of all that is asked often, for one schema. Each parameter has a cast, so that its type is known
// without asking the server.
type statements struct {
	*layout

	insertBundleToo, insertTasksToo                                  statement
	insertBundle, bundleBlock, insertTasks, lockKnown, undoKnown     statement
	finishYoung, lockBundles                                         statement
	lockTasks, locate, histories, updateTasks, addTasks, deleteTasks statement
	finish, addAttempts, trimAttempts, supersede, lockFinished       statement
	addCounts, deleteBundle, endedOf, bundlesOf, strayBundles        statement
	claimTurn, claim, claimedBy, claimNext, report                   statement
	running, cancels, getTask, last, counts, outcomes, end           statement
	inOrder, listActive, listBundles, listEnded, listFailed          statement
	expiredCompleted, expiredFailed, liveBlocks, deleteOutcomes      statement
	compact, ping, identity                                          statement
	forgetNode                                                       statement
	hold, release, beat, look, bury, orphanNodes, lockOrphans        statement
	orphanBundles, tell, listen, poll, lockEnded                     statement
	insertInTx, undoInTx, locateInTx, historyInTx                    statement
	completeInTx, tellInTx                                           statement
	endedTasks                                                       statement
	pruneTurn, pruneTurnShared, subscriber, addSubscriber            statement
	acknowledge, unsubscribe, subscribers                            statement
}

// countColumns are the states in the order of the columns of counts.
const countColumns = "scheduled, available, running, retryable, completed, cancelled, discarded"

// The parts that several statements have in common.
const (
	// countBy makes of rows with runner, kind and state what they add to the counts, times {sign}.
	countBy = `SELECT runner, kind,
		{sign} count(*) FILTER (WHERE state = 'scheduled'), {sign} count(*) FILTER (WHERE state = 'available'),
		{sign} count(*) FILTER (WHERE state = 'running'), {sign} count(*) FILTER (WHERE state = 'retryable'),
		{sign} count(*) FILTER (WHERE state = 'completed'), {sign} count(*) FILTER (WHERE state = 'cancelled'),
		{sign} count(*) FILTER (WHERE state = 'discarded')`

	// bundled is whether the task t is in a bundle, whether it has ended or not.
	bundled = `EXISTS (SELECT FROM {schema}.bundles b WHERE t.id BETWEEN b.lo AND b.hi
		AND (position(uuid_send(t.id) IN substring(b.tasks FROM 1 FOR 16 * b.n)) - 1) % 16 = 0)`

	// outcomeRows inserts outcomes, whose transaction ends with this statement. Their places are drawn when it is this
	// transaction's turn, and its turn ends with its commit: so outcomes are seen in the order of their places.
	outcomeRows = `INSERT INTO {schema}.finished (pos, {names}, latest) SELECT base.pos + u.i, {u.names}, true FROM base, u`
	turn        = `pg_advisory_xact_lock({turn})`
)

// textsOf replaces what stands in braces.
func textsOf(schema string, l *layout) func(string) statement {
	quoted := quoteName(schema)
	sum := fnv.New64a()
	_, _ = sum.Write([]byte("taskrunner/outcomes/" + schema)) // it never fails
	names := strings.NewReplacer(
		"{schema}", quoted, "{channel}", quoteText(channel(schema)), "{listened}", quoteName(channel(schema)),
		"{seqs}", quoteText(quoted+".seqs")+"::regclass", "{positions}", quoteText(quoted+".positions")+"::regclass",
		"{turn}", strconv.FormatInt(int64(sum.Sum64()), 10),
		"{names}", l.names, "{u.names}", l.prefixed("u"), "{t.names}", l.prefixed("t"), "{f.names}", l.prefixed("f"), "{from}", l.from,
		"{counts}", countColumns)
	parts := strings.NewReplacer(
		"{outcomeRows}", outcomeRows, "{bundled}", bundled, "{takeTurn}", turn,
		"{count}", strings.ReplaceAll(countBy, "{sign}", "+"), "{uncount}", strings.ReplaceAll(countBy, "{sign}", "-"))
	return func(text string) statement { return newStatement(names.Replace(parts.Replace(text))) }
}

// channel is where the stores of a schema tell each other.
func channel(schema string) string { return "taskrunner:" + schema }

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteText is for standard_conforming_strings, which is the default since 9.1; a backslash would ask for more care, but a name
// with one is written with E” by nobody.
func quoteText(text string) string {
	if strings.Contains(text, `\`) {
		return ` E'` + strings.NewReplacer(`'`, `''`, `\`, `\\`).Replace(text) + `'`
	}
	return `'` + strings.ReplaceAll(text, `'`, `''`) + `'`
}

func newStatements(schema string) *statements {
	s := &statements{layout: newLayout()}
	text := textsOf(schema, s.layout)
	s.inserting(text)
	s.finishing(text)
	s.changing(text)
	s.unbundling(text)
	s.claiming(text)
	s.reading(text)
	s.keeping(text)
	s.joining(text)
	s.subscribing(text)
	return s
}

func (s *statements) inserting(text func(string) statement) {
	bundle := `INSERT INTO {schema}.bundles (id, handle, node, runner, kind, block, n, lo, hi, tasks)
		VALUES ($1::uuid, $2::uuid, $3::text, $4::text, $5::text, {draw}({seqs}), $6::integer, $7::uuid, $8::uuid, $9::bytea)
		ON CONFLICT (id) DO NOTHING RETURNING block`
	tasks := `WITH base AS MATERIALIZED (SELECT {draw}({seqs}) * 1024 AS seq),
		u AS (SELECT {from}),
		added AS (INSERT INTO {schema}.tasks ({names}, claim)
			SELECT ` + strings.Replace(s.prefixed("u"), "u.seq", "base.seq + u.seq", 1) + `, $22::bigint FROM base, u
			ON CONFLICT (id) DO NOTHING RETURNING seq, runner, kind, state),
		counted AS (INSERT INTO {schema}.counts (runner, kind, {counts}) {count} FROM added GROUP BY runner, kind)
		SELECT added.seq - base.seq, added.seq FROM base, added`
	s.insertBundle = text(strings.ReplaceAll(bundle, "{draw}", "nextval"))
	s.insertTasks = text(strings.ReplaceAll(tasks, "{draw}", "nextval"))
	// What belongs to the same block has the same number, in the same transaction and so in the same session.
	s.insertBundleToo = text(strings.ReplaceAll(bundle, "{draw}", "currval"))
	s.insertTasksToo = text(strings.ReplaceAll(tasks, "{draw}", "currval"))
	s.bundleBlock = text(`SELECT block FROM {schema}.bundles WHERE id = $1::uuid`)
	// Whoever gave an id that is being inserted, in somebody's open transaction, is not to wait for that in a lane of ours.
	s.lockKnown = text(`SELECT set_config('lock_timeout', '300ms', true)`)
	// While ids were inserted, tasks of these ids may have gone from tasks to finished. Now that the ids are ours, they cannot.
	s.undoKnown = text(`WITH gone AS (DELETE FROM {schema}.tasks t WHERE t.id = ANY($1::uuid[]) AND t.claim = $2::bigint
			AND (EXISTS (SELECT FROM {schema}.finished f WHERE f.id = t.id AND f.latest) OR {bundled})
			RETURNING t.id, t.runner, t.kind, t.state),
		counted AS (INSERT INTO {schema}.counts (runner, kind, {counts}) {uncount} FROM gone GROUP BY runner, kind)
		SELECT id FROM gone`)
}

func (s *statements) finishing(text func(string) statement) {
	// All or nothing: if a bundle is gone, somebody has taken its tasks.
	s.finishYoung = text(`WITH b AS MATERIALIZED (SELECT id FROM {schema}.bundles WHERE id = ANY($23::uuid[]) FOR KEY SHARE),
		turn AS MATERIALIZED (SELECT {takeTurn} FROM (SELECT count(*) AS n FROM b) AS c WHERE c.n = cardinality($23::uuid[])),
		base AS MATERIALIZED (SELECT nextval({positions}) * 1024 AS pos FROM turn),
		u AS (SELECT {from}, generate_series(0, $22::integer - 1) AS i),
		added AS ({outcomeRows}),
		ended AS (DELETE FROM {schema}.bundles WHERE id = ANY($24::uuid[]) AND EXISTS (SELECT FROM base)),
		counted AS (INSERT INTO {schema}.counts (runner, kind, {counts})
			SELECT unnest($25::text[]), unnest($26::text[]), unnest($27::bigint[]), unnest($28::bigint[]), unnest($29::bigint[]),
				unnest($30::bigint[]), unnest($31::bigint[]), unnest($32::bigint[]), unnest($33::bigint[]) FROM base)
		SELECT id FROM b`)
	s.lockBundles = text(`SELECT id FROM {schema}.bundles WHERE id = ANY($1::uuid[]) ORDER BY id FOR KEY SHARE`)
}

func (s *statements) changing(text func(string) statement) {
	s.lockTasks = text(`SELECT {names}, claim FROM {schema}.tasks WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE SKIP LOCKED`)
	// A bundle comes in the columns of a task: see foundRow. All three are read as of one moment, in which a task is in one place.
	s.locate = text(`SELECT 0::bigint, 0::bigint, claim, {names} FROM {schema}.tasks WHERE id = ANY($1::uuid[])
		UNION ALL
		SELECT 1, pos, 0, {names} FROM {schema}.finished WHERE id = ANY($1::uuid[]) AND latest
		UNION ALL
		SELECT 2, 0, 0, b.id, b.block, b.runner, b.kind, '', b.tasks, 0::smallint, '', b.n, 0, 0, 0, b.node, false, 0, uuid_send(b.handle), 0,
			'epoch', 'epoch', NULL, NULL
		FROM {schema}.bundles b WHERE EXISTS (SELECT FROM unnest($1::uuid[]) AS x(id) WHERE x.id BETWEEN b.lo AND b.hi)`)
	// The limit is no limit, and has each history looked up by itself, whatever the planner thinks of their lengths.
	s.histories = text(`SELECT a.task, a.number, a.attempt, a.run, a.node, a.state, a.started_at, a.finished_at, a.error, a.stack
		FROM unnest($1::bigint[]) AS t(task), LATERAL (
			SELECT * FROM {schema}.attempts WHERE task = t.task ORDER BY task, number LIMIT 1000) AS a ORDER BY a.task, a.number`)
	s.updateTasks = text(`WITH u AS (SELECT {from}, unnest($22::bigint[]) AS claim)
		UPDATE {schema}.tasks t SET state = u.state, run = u.run, attempt = u.attempt, max_attempts = u.max_attempts, node = u.node,
			cancel_requested = u.cancel_requested, progress = u.progress, result = u.result, attempts = u.attempts,
			scheduled_at = u.scheduled_at, started_at = u.started_at, finished_at = u.finished_at, claim = u.claim
		FROM u WHERE t.id = u.id`)
	s.addTasks = text(`WITH u AS (SELECT {from}, unnest($22::bigint[]) AS claim)
		INSERT INTO {schema}.tasks ({names}, claim) SELECT {u.names}, u.claim FROM u`)
	s.deleteTasks = text(`DELETE FROM {schema}.tasks WHERE id = ANY($1::uuid[])`)
	s.finish = text(`WITH turn AS MATERIALIZED (SELECT {takeTurn}),
		base AS MATERIALIZED (SELECT nextval({positions}) * 1024 AS pos FROM turn),
		u AS (SELECT {from}, generate_series(0, $22::integer - 1) AS i),
		added AS ({outcomeRows})
		SELECT pos FROM base`)
	s.addAttempts = text(`INSERT INTO {schema}.attempts (task, number, attempt, run, node, state, started_at, finished_at, error, stack)
		SELECT unnest($1::bigint[]), unnest($2::integer[]), unnest($3::integer[]), unnest($4::bigint[]), unnest($5::text[]),
			unnest($6::text[]), unnest($7::timestamptz[]), unnest($8::timestamptz[]), unnest($9::text[]), unnest($10::text[])`)
	s.trimAttempts = text(`DELETE FROM {schema}.attempts WHERE task = $1::bigint AND number <= $2::integer`)
	s.supersede = text(`UPDATE {schema}.finished SET latest = false WHERE id = ANY($1::uuid[]) AND latest`)
	s.lockFinished = text(`SELECT pos FROM {schema}.finished WHERE id = $1::uuid AND latest FOR UPDATE SKIP LOCKED`)
	s.addCounts = text(`INSERT INTO {schema}.counts (runner, kind, {counts})
		SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::bigint[]),
			unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::bigint[])`)
}

func (s *statements) unbundling(text func(string) statement) {
	s.deleteBundle = text(`DELETE FROM {schema}.bundles WHERE id = $1::uuid
		RETURNING id, handle, node, runner, kind, block, n, tasks`)
	s.endedOf = text(`SELECT id, seq FROM {schema}.finished WHERE id = ANY($1::uuid[]) AND latest
		UNION ALL SELECT id, seq FROM {schema}.tasks WHERE id = ANY($1::uuid[])`)
	s.bundlesOf = text(`SELECT id, handle, node, runner, kind, block, n, tasks FROM {schema}.bundles WHERE id = ANY($1::uuid[])`)
	s.strayBundles = text(`SELECT id FROM {schema}.bundles WHERE handle = $1::uuid`)
}

func (s *statements) claiming(text func(string) statement) {
	// Whoever repeats a claim waits until the first try has ended. Without statistics, the planner is not to think that a table
	// is small.
	s.claimTurn = text(`SELECT pg_advisory_xact_lock($1::bigint), set_config('enable_seqscan', 'off', true),
		set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)`)
	// Each kind and each priority is looked up by itself, so that no entry is read but of those that may be claimed.
	s.claim = text(`WITH ready AS MATERIALIZED (
			SELECT w.* FROM unnest($4::text[]) AS k(kind), LATERAL (
				SELECT t.id, t.runner, t.kind, t.state, t.priority, t.scheduled_at, t.seq FROM {schema}.tasks t
				WHERE t.runner = $1::text AND t.kind = k.kind AND t.state = 'available'
				ORDER BY t.priority, t.scheduled_at, t.seq LIMIT $5::integer FOR UPDATE SKIP LOCKED) AS w),
		later AS MATERIALIZED (
			SELECT w.* FROM unnest($4::text[]) AS k(kind), generate_series(0, 9) AS p(priority), LATERAL (
				SELECT t.id, t.runner, t.kind, t.state, t.priority, t.scheduled_at, t.seq FROM {schema}.tasks t
				WHERE t.runner = $1::text AND t.kind = k.kind AND t.state IN ('scheduled', 'retryable') AND t.priority = p.priority
					AND t.scheduled_at <= $3::timestamptz
				ORDER BY t.scheduled_at, t.seq LIMIT $5::integer FOR UPDATE SKIP LOCKED) AS w),
		picked AS MATERIALIZED (
			SELECT * FROM (SELECT * FROM ready UNION ALL SELECT * FROM later) AS w
			WHERE NOT EXISTS (SELECT FROM {schema}.tasks t WHERE t.runner = $1::text AND t.node = $2::text AND t.state = 'running' AND t.claim = $6::bigint)
			ORDER BY priority, scheduled_at, seq LIMIT $5::integer),
		taken AS (UPDATE {schema}.tasks t SET state = 'running', node = $2::text, run = t.run + 1, attempt = t.attempt + 1, progress = 0,
				started_at = $3::timestamptz, claim = $6::bigint
			FROM picked WHERE t.id = picked.id RETURNING {t.names}),
		counted AS (INSERT INTO {schema}.counts (runner, kind, {counts}) {uncount} FROM picked GROUP BY runner, kind
			UNION ALL SELECT runner, kind, 0, 0, count(*), 0, 0, 0, 0 FROM picked GROUP BY runner, kind)
		SELECT {names} FROM taken`)
	s.claimedBy = text(`SELECT {names} FROM {schema}.tasks WHERE runner = $1::text AND node = $2::text AND state = 'running' AND claim = $3::bigint`)
	s.claimNext = text(`SELECT
		EXISTS (SELECT FROM unnest($2::text[]) AS k(kind), LATERAL (
			SELECT FROM {schema}.tasks t WHERE t.runner = $1::text AND t.kind = k.kind AND t.state = 'available'
			ORDER BY t.priority, t.scheduled_at, t.seq LIMIT 1) AS w),
		(SELECT min(w.scheduled_at) FROM unnest($2::text[]) AS k(kind), generate_series(0, 9) AS p(priority), LATERAL (
			SELECT t.scheduled_at FROM {schema}.tasks t
			WHERE t.runner = $1::text AND t.kind = k.kind AND t.state IN ('scheduled', 'retryable') AND t.priority = p.priority
			ORDER BY t.scheduled_at, t.seq LIMIT 1) AS w)`)
	s.report = text(`WITH u AS (SELECT unnest($1::uuid[]) AS id, unnest($2::bigint[]) AS run, unnest($3::double precision[]) AS progress),
		w AS MATERIALIZED (SELECT t.id, t.run FROM {schema}.tasks t WHERE t.id = ANY($1::uuid[]) AND t.state = 'running' FOR UPDATE SKIP LOCKED)
		UPDATE {schema}.tasks t SET progress = u.progress FROM u, w
		WHERE w.id = u.id AND w.run = u.run AND t.id = w.id`)
}

func (s *statements) reading(text func(string) statement) {
	// The ids of bundles come with run 0.
	s.running = text(`SELECT id, run FROM {schema}.tasks WHERE runner = $1::text AND node = $2::text AND state = 'running'
		UNION ALL SELECT id, 0 FROM {schema}.bundles WHERE runner = $1::text AND node = $2::text`)
	s.cancels = text(`SELECT id FROM {schema}.tasks WHERE runner = $1::text AND node = $2::text AND state = 'running' AND cancel_requested`)
	s.getTask = text(`SELECT 0::bigint, claim, {names} FROM {schema}.tasks WHERE id = $1::uuid
		UNION ALL SELECT pos, 0, {names} FROM {schema}.finished WHERE id = $1::uuid AND latest`)
	s.endedTasks = text(`SELECT 0::bigint, {names} FROM {schema}.tasks WHERE id = ANY($1::uuid[]) AND state IN ('completed', 'cancelled', 'discarded')
		UNION ALL SELECT pos, {names} FROM {schema}.finished WHERE id = ANY($1::uuid[]) AND latest`)
	s.last = text(`SELECT 0::bigint, {names} FROM {schema}.tasks WHERE state = 'completed' AND kind = $1::text AND key = $2::text
		UNION ALL (SELECT pos, {names} FROM {schema}.finished WHERE latest AND state = 'completed' AND key <> '' AND kind = $1::text AND key = $2::text
			ORDER BY pos DESC LIMIT 1)`)
	// What is asked for in a list is found in the order of its index, and be it at the end: to sort all would be the longer way. What
	// is switched off is not forbidden but thought dear, so dear that the server would compile a plan that cannot do without.
	s.inOrder = text(`SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
		set_config('enable_sort', 'off', true), set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)`)
	s.listActive = text(`SELECT {names} FROM {schema}.tasks
		WHERE ($1::bigint = 0 OR seq < $1::bigint) AND state = ANY($2::text[]) AND ($3::text = '' OR kind = $3::text) AND ($4::text = '' OR runner = $4::text)
		ORDER BY seq DESC LIMIT $5::integer`)
	s.listBundles = text(`SELECT id, block, n FROM {schema}.bundles
		WHERE ($1::bigint = 0 OR block * 1024 < $1::bigint) AND ($2::text = '' OR kind = $2::text) AND ($3::text = '' OR runner = $3::text)
		ORDER BY block DESC`)
	ended := `SELECT pos, {names} FROM {schema}.finished
		WHERE ($1::bigint = 0 OR pos < $1::bigint) AND latest AND state = ANY($2::text[])
			AND ($3::text = '' OR kind = $3::text) AND ($4::text = '' OR runner = $4::text)`
	s.listEnded = text(ended + ` ORDER BY pos DESC LIMIT $5::integer`)
	s.listFailed = text(ended + ` AND state <> 'completed' ORDER BY pos DESC LIMIT $5::integer`) // which has an index
	s.counts = text(`SELECT ` + summed + ` FROM (
			SELECT {counts} FROM {schema}.counts WHERE $1::text = '' OR runner = $1::text
			UNION ALL
			SELECT 0, 0, n, 0, 0, 0, 0 FROM {schema}.bundles WHERE $1::text = '' OR runner = $1::text) AS c`)
	// A row for each outcome, or one with nulls if there is none: where they begin, and how far was looked, is needed in any case; where
	// the order ends only if nothing is behind the cursor.
	s.outcomes = text(`WITH e AS MATERIALIZED (SELECT coalesce(max(pos), 0) AS pos FROM {schema}.expired WHERE $1::text = '' OR runner = $1::text),
		w AS MATERIALIZED (SELECT t.pos, t.runner FROM e, LATERAL (SELECT pos, runner FROM {schema}.finished
			WHERE pos > CASE WHEN $2::bigint = 0 THEN e.pos ELSE $2::bigint END ORDER BY pos LIMIT $4::integer) AS t)
		SELECT e.pos, (SELECT max(pos) FROM w), CASE WHEN NOT EXISTS (SELECT FROM w) THEN (` + orderEnd + `) END, f.pos, {f.names} FROM e LEFT JOIN (SELECT t.* FROM {schema}.finished t
			WHERE t.pos IN (SELECT pos FROM w WHERE $1::text = '' OR runner = $1::text ORDER BY pos LIMIT $3::integer)) AS f ON true
		ORDER BY f.pos`)
	s.end = text(orderEnd)
}

// summed are the sums of all columns of counts.
const summed = `coalesce(sum(scheduled), 0)::bigint, coalesce(sum(available), 0)::bigint, coalesce(sum(running), 0)::bigint,
	coalesce(sum(retryable), 0)::bigint, coalesce(sum(completed), 0)::bigint, coalesce(sum(cancelled), 0)::bigint, coalesce(sum(discarded), 0)::bigint`
