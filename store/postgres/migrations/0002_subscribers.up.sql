-- Who follows the outcomes of a runner, and up to where each has acknowledged them. There are at most a hundred of a runner. Whoever
-- deletes outcomes of a runner, or adds a subscriber, takes the runner's lock first (pruneTurn), so that neither overlooks the other.
CREATE TABLE {schema}.subscribers (
	runner     text COLLATE "C" NOT NULL,
	name       text COLLATE "C" NOT NULL,
	pos        bigint NOT NULL,
	created_at timestamptz NOT NULL,
	seen_at    timestamptz NOT NULL,
	PRIMARY KEY (runner, name),
	CONSTRAINT subscribers_pos CHECK (pos >= 0)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
