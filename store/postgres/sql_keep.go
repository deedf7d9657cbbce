package postgres

// acknowledged is up to where all subscribers of the runner $1 have acknowledged that were seen since a time, which is a parameter, and
// may be null: then all count.
func acknowledged(since string) string {
	return `(SELECT coalesce(min(s.pos), 9223372036854775807) FROM {schema}.subscribers s
		WHERE s.runner = $1::text AND (` + since + `::timestamptz IS NULL OR s.seen_at >= ` + since + `::timestamptz))`
}

// keeping are the statements of what the store does by itself, and of what deletes.
func (s *statements) keeping(text func(string) statement) {
	// What has expired of the outcomes in a window of positions that are ours by state and runner; and in each row, which has nulls if
	// there are none, where the first one stands that is kept, and the end of the window. It ends before what a subscriber keeps.
	expired := func(window, ours, gone, seen string) statement {
		return text(`WITH w AS MATERIALIZED (SELECT pos, seq, runner = $1::text AND ` + ours + ` AS ours, (` + gone + `) IS TRUE AS gone
				FROM {schema}.finished WHERE pos > $2::bigint AND pos <= ` + acknowledged(seen) + ` AND ` + window + ` ORDER BY pos LIMIT $3::integer)
			SELECT (SELECT min(pos) FROM w WHERE ours AND NOT gone), (SELECT max(pos) FROM w), x.pos, x.seq
			FROM (SELECT) AS one LEFT JOIN (SELECT pos, seq FROM w WHERE ours AND gone ORDER BY pos LIMIT $4::integer) AS x ON true`)
	}
	s.expiredCompleted = expired(`true`, `state = 'completed'`, `finished_at < $6::timestamptz`, `$5`)
	s.expiredFailed = expired(`state <> 'completed'`, `true`,
		`CASE state WHEN 'cancelled' THEN finished_at < $6::timestamptz ELSE finished_at < $7::timestamptz END`, `$5`)
	s.liveBlocks = text(`SELECT id FROM {schema}.bundles WHERE block = ANY($1::bigint[])`)
	// A subscriber may have come since the positions were found, so it is asked for once more.
	s.deleteOutcomes = text(`WITH gone AS (DELETE FROM {schema}.finished WHERE pos = ANY($2::bigint[]) AND pos <= ` + acknowledged(`$3`) + `
			RETURNING pos, seq, runner, kind, state, latest, attempts),
		histories AS (DELETE FROM {schema}.attempts WHERE task IN (SELECT seq FROM gone WHERE latest AND attempts > 0)),
		counted AS (INSERT INTO {schema}.counts (runner, kind, {counts}) {uncount} FROM gone WHERE latest GROUP BY runner, kind),
		noted AS (INSERT INTO {schema}.expired (runner, pos) SELECT runner, max(pos) FROM gone GROUP BY runner
			ON CONFLICT (runner) DO UPDATE SET pos = greatest(expired.pos, EXCLUDED.pos))
		SELECT count(*) FROM gone`)
	// Exact whoever else does it at the same time: what one has deleted, the other passes over.
	s.compact = text(`WITH many AS MATERIALIZED (SELECT count(*) = 200 AS are FROM (SELECT FROM {schema}.counts LIMIT 200) AS few),
		gone AS (DELETE FROM {schema}.counts WHERE (SELECT are FROM many) RETURNING *)
		INSERT INTO {schema}.counts (runner, kind, {counts}) SELECT runner, kind, ` + summed + ` FROM gone GROUP BY runner, kind`)
	s.ping = text(`INSERT INTO {schema}.counts (runner, kind, {counts}) SELECT '', '', 0, 0, 0, 0, 0, 0, 0`)
	s.identity = text(`SELECT id FROM {schema}.identity`)
	s.leasing(text)
	s.telling(text)
}

func (s *statements) leasing(text func(string) statement) {
	s.hold = text(`INSERT INTO {schema}.nodes (handle, runner, node, beat, ended) SELECT $1::uuid, unnest($2::text[]), unnest($3::text[]), 0, false
		ON CONFLICT (handle, runner, node) DO UPDATE SET beat = nodes.beat + 1, ended = false`)
	s.release = text(`UPDATE {schema}.nodes SET ended = true FROM (SELECT unnest($2::text[]) AS runner, unnest($3::text[]) AS node) AS u
		WHERE handle = $1::uuid AND nodes.runner = u.runner AND nodes.node = u.node`)
	s.beat = text(`UPDATE {schema}.nodes SET beat = beat + 1 WHERE handle = $1::uuid AND NOT ended`)
	s.look = text(`SELECT handle, runner, node, beat, ended FROM {schema}.nodes`)
	s.bury = text(`UPDATE {schema}.nodes SET ended = true WHERE handle = $1::uuid AND runner = $2::text AND node = $3::text AND beat = $4::bigint`)
	s.forgetNode = text(`DELETE FROM {schema}.nodes WHERE runner = $1::text AND node = $2::text AND ended`)
	// The nodes of the running tasks are looked up one after the other, each by one step into the index.
	s.orphanNodes = text(`WITH RECURSIVE n(node) AS (
			(SELECT t.node FROM {schema}.tasks t WHERE t.runner = $1::text AND t.state = 'running' ORDER BY t.node LIMIT 1)
			UNION ALL
			SELECT (SELECT t.node FROM {schema}.tasks t WHERE t.runner = $1::text AND t.state = 'running' AND t.node > n.node
				ORDER BY t.node LIMIT 1) FROM n WHERE n.node IS NOT NULL)
		SELECT x.node FROM (SELECT node FROM n WHERE node IS NOT NULL UNION SELECT node FROM {schema}.bundles WHERE runner = $1::text) AS x
		WHERE NOT EXISTS (SELECT FROM {schema}.nodes l WHERE l.runner = $1::text AND l.node = x.node AND NOT l.ended)`)
	s.orphanBundles = text(`SELECT b.id FROM {schema}.bundles b WHERE b.runner = $1::text AND b.node = $2::text
		AND NOT EXISTS (SELECT FROM {schema}.nodes l WHERE l.runner = b.runner AND l.node = b.node AND NOT l.ended)`)
	s.lockOrphans = text(`SELECT {names}, claim FROM {schema}.tasks t WHERE runner = $1::text AND node = $2::text AND state = 'running'
		AND NOT EXISTS (SELECT FROM {schema}.nodes l WHERE l.runner = t.runner AND l.node = t.node AND NOT l.ended)
		ORDER BY seq LIMIT $3::integer FOR UPDATE SKIP LOCKED`)
}

// The kinds of rows that poll gives.
const (
	polledWork    = 1 // of this runner, a task is available
	polledCancels = 2 // of this runner and node, these tasks are to be cancelled: the sum of their seqs
	polledEnd     = 3 // where the outcomes end
	polledEnded   = 4 // there are outcomes that have no place yet
)

func (s *statements) telling(text func(string) statement) {
	// That a signal was sent need not survive the power, and to sync that would take longer than all else.
	s.tell = text(`SELECT set_config('synchronous_commit', 'off', true), pg_notify({channel}, x) FROM unnest($1::text[]) AS x`)
	s.listen = text(`LISTEN {listened}`)
	s.poll = text(`SELECT 1, p.runner, 0::bigint FROM unnest($1::text[], $2::text[]) AS p(runner, kind) WHERE EXISTS (
			SELECT FROM {schema}.tasks t WHERE t.state = 'available' AND t.runner = p.runner AND t.kind = p.kind)
		UNION ALL SELECT 1, r, 0 FROM unnest($5::text[]) AS r WHERE EXISTS (
			SELECT FROM {schema}.tasks t WHERE t.state = 'available' AND t.runner = r)
		UNION ALL SELECT 2, p.runner, (SELECT coalesce(sum(t.seq), 0)::bigint FROM {schema}.tasks t
			WHERE t.state = 'running' AND t.cancel_requested AND t.runner = p.runner AND t.node = p.node) FROM unnest($3::text[], $4::text[]) AS p(runner, node)
		UNION ALL SELECT 3, '', coalesce(max(pos), 0) FROM {schema}.finished
		UNION ALL SELECT 4, '', 0 WHERE EXISTS (SELECT FROM {schema}.tasks WHERE state = 'completed')`)
	s.lockEnded = text(`SELECT {names}, claim FROM {schema}.tasks WHERE state = 'completed' ORDER BY id LIMIT $1::integer FOR UPDATE SKIP LOCKED`)
}

// joining are the statements that run in callers' transactions, through whatever driver they have: the parameters are texts and
// integers alone, and so are the columns.
func (s *statements) joining(text func(string) statement) {
	//nolint:dupword // SQL
	s.insertInTx = text(`WITH base AS MATERIALIZED (SELECT nextval({seqs}) * 1024 AS seq),
		u AS (SELECT * FROM json_to_recordset($1::text::json) AS u(i bigint, id uuid, runner text, kind text, key text, args text, priority smallint,
			state text, max_attempts integer, timeout bigint, inserted_at timestamptz, scheduled_at timestamptz)),
		added AS (INSERT INTO {schema}.tasks ({names}, claim)
			SELECT u.id, base.seq + u.i, u.runner, u.kind, u.key, decode(u.args, 'base64'), u.priority, u.state, 0, 0, u.max_attempts, u.timeout, '',
				false, 0, '', 0, u.inserted_at, u.scheduled_at, NULL, NULL, $2::bigint FROM base, u
			ON CONFLICT (id) DO NOTHING RETURNING id, seq, runner, kind, state),
		counted AS (INSERT INTO {schema}.counts (runner, kind, {counts}) {count} FROM added GROUP BY runner, kind)
		SELECT id::text, seq FROM added`)
	s.undoInTx = text(`WITH gone AS (DELETE FROM {schema}.tasks t
			WHERE t.id IN (SELECT x::uuid FROM json_array_elements_text($1::text::json) AS x) AND t.claim = $2::bigint
				AND (EXISTS (SELECT FROM {schema}.finished f WHERE f.id = t.id AND f.latest) OR {bundled})
			RETURNING t.id, t.runner, t.kind, t.state),
		counted AS (INSERT INTO {schema}.counts (runner, kind, {counts}) {uncount} FROM gone GROUP BY runner, kind)
		SELECT id::text, 0::bigint FROM gone`)
	common := `SELECT row_to_json(x)::text, 0::bigint FROM (SELECT id, seq, runner, kind, key, encode(args, 'base64') AS args, priority, state, run, attempt,
			max_attempts, timeout_micros AS timeout, node, cancel_requested, progress, encode(result, 'base64') AS result, inserted_at, scheduled_at,
			started_at, finished_at`
	s.locateInTx = text(common + `, 0 AS pos FROM {schema}.tasks WHERE id = $1::text::uuid) AS x
		UNION ALL ` + common + `, pos FROM {schema}.finished WHERE id = $1::text::uuid AND latest) AS x`)
	s.historyInTx = text(`SELECT row_to_json(x)::text, 0::bigint FROM (SELECT * FROM {schema}.attempts WHERE task = $1::bigint
		ORDER BY number DESC LIMIT $2::bigint) AS x ORDER BY x.number`)
	s.completeInTx = text(`WITH ended AS (UPDATE {schema}.tasks SET state = 'completed', result = decode($3::text, 'base64'),
				finished_at = $4::text::timestamptz
			WHERE id = $1::text::uuid AND run = $2::bigint AND state = 'running' RETURNING runner, kind),
		counted AS (INSERT INTO {schema}.counts (runner, kind, {counts}) SELECT runner, kind, 0, 0, -1, 0, 1, 0, 0 FROM ended)
		SELECT runner, 0::bigint FROM ended`)
	s.tellInTx = text(`SELECT pg_notify({channel}, $1::text)::text, 0::bigint`)
}
