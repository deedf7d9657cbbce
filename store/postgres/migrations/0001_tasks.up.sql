-- {schema} stands for the name of the schema, quoted. Names are in the collation "C": it is the fastest, and no update of the
-- system changes its order, which would break indices. The checks are for those who change a table by hand: nobody would find a
-- task in a state that is none, or with such a priority. Each takes the server some 5 µs a statement, so there are no others.

-- Each drawing is good for 1024 numbers: the Seq of a task, or the Pos of an outcome, is 1024 times what was drawn, plus the
-- place in the statement. So a statement draws once, and not for each of its rows.
CREATE SEQUENCE {schema}.seqs;
CREATE SEQUENCE {schema}.positions;

-- Tasks that one node took for itself at once, with one row for all. They run there, in run 1, for as long as the row stands
-- and they are neither in finished nor in tasks. Who takes them from the node deletes the row, which fences its outcomes.
CREATE TABLE {schema}.bundles (
	id     uuid PRIMARY KEY,
	handle uuid NOT NULL, -- of the store that inserted it
	node   text COLLATE "C" NOT NULL,
	runner text COLLATE "C" NOT NULL,
	kind   text COLLATE "C" NOT NULL,
	block  bigint NOT NULL, -- their Seqs are in the 1024 numbers from 1024 times this
	n      integer NOT NULL,
	lo     uuid NOT NULL, -- the smallest id, and the largest: most bundles need not be looked into for an id
	hi     uuid NOT NULL,
	tasks  bytea NOT NULL -- the ids, and then the rest; see bundle.go
) WITH (fillfactor = 100, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
	autovacuum_analyze_threshold = 100000, autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_scale_factor = 0,
	toast.autovacuum_vacuum_threshold = 20000, toast.autovacuum_vacuum_cost_delay = 0);
ALTER TABLE {schema}.bundles ALTER COLUMN tasks SET STORAGE EXTERNAL; -- to compress takes longer than to write

-- Tasks that wait or run. One that was completed in somebody's transaction stays until its outcome is given its place.
CREATE TABLE {schema}.tasks (
	id               uuid PRIMARY KEY,
	seq              bigint NOT NULL,
	runner           text COLLATE "C" NOT NULL,
	kind             text COLLATE "C" NOT NULL,
	key              text COLLATE "C" NOT NULL,
	args             bytea NOT NULL,
	priority         smallint NOT NULL,
	state            text COLLATE "C" NOT NULL,
	run              bigint NOT NULL,
	attempt          integer NOT NULL,
	max_attempts     integer NOT NULL,
	timeout_micros   bigint NOT NULL,
	node             text COLLATE "C" NOT NULL,
	cancel_requested boolean NOT NULL,
	progress         double precision NOT NULL,
	result           bytea NOT NULL,
	attempts         integer NOT NULL, -- how many entries its history has had
	inserted_at      timestamptz NOT NULL,
	scheduled_at     timestamptz NOT NULL,
	started_at       timestamptz,
	finished_at      timestamptz,
	claim            bigint NOT NULL, -- which call made it run, or inserted it: so that the call can be repeated
	CONSTRAINT tasks_state CHECK (state IN ('scheduled', 'available', 'running', 'retryable', 'completed')),
	CONSTRAINT tasks_priority CHECK (priority >= 0 AND priority <= 9)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000,
	autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX tasks_seq ON {schema}.tasks (seq);
CREATE INDEX tasks_ready ON {schema}.tasks (runner, kind, priority, scheduled_at, seq) WHERE state = 'available';
CREATE INDEX tasks_later ON {schema}.tasks (runner, kind, priority, scheduled_at, seq) WHERE state IN ('scheduled', 'retryable');
CREATE INDEX tasks_running ON {schema}.tasks (runner, node, claim) WHERE state = 'running';
CREATE INDEX tasks_cancels ON {schema}.tasks (runner, node) WHERE state = 'running' AND cancel_requested;
CREATE INDEX tasks_ended ON {schema}.tasks (id) WHERE state = 'completed';

-- Outcomes, in their one order.
CREATE TABLE {schema}.finished (
	pos              bigint PRIMARY KEY,
	id               uuid NOT NULL,
	seq              bigint NOT NULL,
	runner           text COLLATE "C" NOT NULL,
	kind             text COLLATE "C" NOT NULL,
	key              text COLLATE "C" NOT NULL,
	args             bytea NOT NULL,
	priority         smallint NOT NULL,
	state            text COLLATE "C" NOT NULL,
	run              bigint NOT NULL,
	attempt          integer NOT NULL,
	max_attempts     integer NOT NULL,
	timeout_micros   bigint NOT NULL,
	node             text COLLATE "C" NOT NULL,
	cancel_requested boolean NOT NULL,
	progress         double precision NOT NULL,
	result           bytea NOT NULL,
	attempts         integer NOT NULL,
	inserted_at      timestamptz NOT NULL,
	scheduled_at     timestamptz NOT NULL,
	started_at       timestamptz,
	finished_at      timestamptz,
	latest           boolean NOT NULL, -- not, once the task was retried by hand
	CONSTRAINT finished_state CHECK (state IN ('completed', 'cancelled', 'discarded'))
) WITH (fillfactor = 100, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE UNIQUE INDEX finished_id ON {schema}.finished (id) WHERE latest;
CREATE INDEX finished_key ON {schema}.finished (kind, key, pos) WHERE latest AND state = 'completed' AND key <> '';
CREATE INDEX finished_failed ON {schema}.finished (pos) WHERE state <> 'completed';

-- The histories: what the runs have left that did not complete.
CREATE TABLE {schema}.attempts (
	task        bigint NOT NULL, -- its seq
	number      integer NOT NULL, -- from 1
	attempt     integer NOT NULL,
	run         bigint NOT NULL,
	node        text COLLATE "C" NOT NULL,
	state       text COLLATE "C" NOT NULL,
	started_at  timestamptz,
	finished_at timestamptz NOT NULL,
	error       text NOT NULL,
	stack       text NOT NULL,
	PRIMARY KEY (task, number),
	CONSTRAINT attempts_state CHECK (state IN ('available', 'retryable', 'completed', 'cancelled', 'discarded'))
);

-- Changes of the numbers of tasks. The number is their sum, and running ones are also what the bundles hold. Rows are only
-- inserted, so that nobody waits for another; now and then they are replaced by their sums.
CREATE TABLE {schema}.counts (
	runner    text COLLATE "C" NOT NULL,
	kind      text COLLATE "C" NOT NULL,
	scheduled bigint NOT NULL,
	available bigint NOT NULL,
	running   bigint NOT NULL,
	retryable bigint NOT NULL,
	completed bigint NOT NULL,
	cancelled bigint NOT NULL,
	discarded bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- Up to where outcomes were deleted.
CREATE TABLE {schema}.expired (
	runner text COLLATE "C" PRIMARY KEY,
	pos    bigint NOT NULL
) WITH (fillfactor = 50);

-- The leases: which runners run in which nodes. One lasts as long as its beat rises. When it has ended, the row stays until the tasks
-- that ran under it are taken back.
CREATE TABLE {schema}.nodes (
	handle uuid NOT NULL, -- of the store
	runner text COLLATE "C" NOT NULL,
	node   text COLLATE "C" NOT NULL,
	beat   bigint NOT NULL,
	ended  boolean NOT NULL,
	PRIMARY KEY (handle, runner, node)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);

-- What tells this database from another: a spool belongs to one.
CREATE TABLE {schema}.identity (
	id uuid PRIMARY KEY
);
INSERT INTO {schema}.identity VALUES (gen_random_uuid());
