package postgres

// subscribing are the statements about those who follow outcomes.
func (s *statements) subscribing(text func(string) statement) {
	// Whoever adds a subscriber of the runner, or deletes outcomes of it, does so alone; who acknowledges, beside others who do. A
	// statement that comes after the lock sees what was committed before it was given. The seed keeps schemas apart.
	turn := `(hashtextextended($1::text, {turn}))`
	s.pruneTurn = text(`SELECT pg_advisory_xact_lock` + turn)
	s.pruneTurnShared = text(`SELECT pg_advisory_xact_lock_shared` + turn)
	// What ApplySubscribe needs to know: a row with the cursor of this one, or null.
	s.subscriber = text(`SELECT (SELECT pos FROM {schema}.subscribers WHERE runner = $1::text AND name = $2::text) AS pos,
		(SELECT count(*) FROM {schema}.subscribers WHERE runner = $1::text),
		(SELECT coalesce(max(pos), 0) FROM {schema}.expired WHERE runner = $1::text), (` + orderEnd + `)`)
	s.addSubscriber = text(`INSERT INTO {schema}.subscribers (runner, name, pos, created_at, seen_at)
		SELECT $1::text, $2::text, $3::bigint, $4::timestamptz, $4::timestamptz
		ON CONFLICT (runner, name) DO UPDATE SET seen_at = EXCLUDED.seen_at`)
	// Nothing changes if the order does not reach so far. The first column is how many were changed.
	s.acknowledge = text(`WITH e AS MATERIALIZED (SELECT (` + orderEnd + `) AS pos),
		raised AS (UPDATE {schema}.subscribers s SET pos = greatest(s.pos, $3::bigint), seen_at = $4::timestamptz FROM e
			WHERE s.runner = $1::text AND s.name = $2::text AND e.pos >= $3::bigint RETURNING s.pos)
		SELECT (SELECT count(*) FROM raised), (SELECT max(pos) FROM raised), e.pos,
			(SELECT count(*) FROM {schema}.subscribers WHERE runner = $1::text AND name = $2::text) FROM e`)
	s.unsubscribe = text(`DELETE FROM {schema}.subscribers WHERE runner = $1::text AND name = $2::text`)
	s.subscribers = text(`SELECT name, pos, created_at, seen_at FROM {schema}.subscribers WHERE runner = $1::text ORDER BY name`)
}

// orderEnd is where the order of outcomes ends: it never comes before a place that was seen, because whoever deletes the last notes where
// that was in the same transaction. What the sequence says is further, by what was drawn and not committed, and by what it skips.
const orderEnd = `SELECT greatest((SELECT max(pos) FROM {schema}.finished), (SELECT max(pos) FROM {schema}.expired), 0)`
