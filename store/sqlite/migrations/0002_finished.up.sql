-- The names of our tables begin with taskrunner_, because an application may have its own in the same file.
ALTER TABLE migrations RENAME TO taskrunner_migrations;

CREATE TABLE taskrunner_meta (
    one INTEGER PRIMARY KEY CHECK (one = 1), -- there is one row
    mark INTEGER NOT NULL, -- how many transactions changed something: which moment a reader sees, and whether a commit took place
    seq INTEGER NOT NULL,  -- the last that was given to a task
    pos INTEGER NOT NULL   -- the last that was given to an outcome; neither number is ever given again
) STRICT;

INSERT INTO taskrunner_meta (one, mark, seq, pos) VALUES (1, 0, 0, 0);

-- The numbers that stand for a runner and a kind in the other tables: from 1 without a gap, and for ever.
CREATE TABLE taskrunner_kinds (
    id INTEGER PRIMARY KEY,
    runner TEXT NOT NULL,
    kind TEXT NOT NULL,
    UNIQUE (runner, kind)
) STRICT;

-- How many tasks of a kind are in a state, kept by each write: to count a million rows takes a tenth of a second.
CREATE TABLE taskrunner_counts (
    kind INTEGER NOT NULL,
    state INTEGER NOT NULL,
    tasks INTEGER NOT NULL,
    PRIMARY KEY (kind, state)
) STRICT, WITHOUT ROWID;

-- Tasks that a node took in one transaction, as one row for as long as one of them runs. A task in here that is neither in
-- taskrunner_tasks nor in taskrunner_finished runs; of several entries, the one of the highest run counts.
CREATE TABLE taskrunner_bundles (
    id INTEGER PRIMARY KEY,
    tasks BLOB NOT NULL -- see codec.go
) STRICT;

-- Tasks that wait, and those that have been running for some time.
CREATE TABLE taskrunner_tasks (
    seq INTEGER PRIMARY KEY, -- the order of insertion
    id BLOB NOT NULL,        -- the 16 bytes of the UUID
    kind INTEGER NOT NULL,   -- in taskrunner_kinds
    state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3), -- 0 scheduled, 1 available, 2 retryable (these wait), 3 running
    priority INTEGER NOT NULL,
    scheduled_at INTEGER NOT NULL, -- all times are in microseconds since 1970, UTC
    cancel_requested INTEGER NOT NULL,
    key TEXT,                -- NULL for none
    body BLOB NOT NULL,      -- the other fields; see codec.go
    result BLOB              -- of an earlier outcome
) STRICT;

CREATE UNIQUE INDEX taskrunner_tasks_id ON taskrunner_tasks (id);

-- A claim reads one kind after the other from the start of its part of these two, so that what it costs does not depend on how
-- many tasks wait, of its kinds or of others. The order ends with seq, as that of every index does.
CREATE INDEX taskrunner_tasks_available ON taskrunner_tasks (kind, priority, scheduled_at) WHERE state = 1;
CREATE INDEX taskrunner_tasks_timed ON taskrunner_tasks (kind, priority, scheduled_at) WHERE state IN (0, 2);

CREATE INDEX taskrunner_tasks_running ON taskrunner_tasks (kind, cancel_requested) WHERE state = 3;

-- The outcomes, in their order.
CREATE TABLE taskrunner_finished (
    pos INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    seq INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    state INTEGER NOT NULL,       -- 4 completed, 5 cancelled, 6 discarded
    superseded INTEGER NOT NULL,  -- 1 when the task was retried by hand since
    finished_at INTEGER NOT NULL,
    key TEXT,
    history BLOB,                 -- of one that is superseded: what taskrunner_attempts held then
    body BLOB NOT NULL,
    result BLOB
) STRICT;

CREATE UNIQUE INDEX taskrunner_finished_id ON taskrunner_finished (id) WHERE superseded = 0;
CREATE INDEX taskrunner_finished_key ON taskrunner_finished (kind, key) WHERE key IS NOT NULL AND state = 4 AND superseded = 0;
CREATE INDEX taskrunner_finished_rare ON taskrunner_finished (state) WHERE state > 4;

-- What runs that did not complete have left. A task that completes at the first attempt has no row here.
CREATE TABLE taskrunner_attempts (
    id INTEGER PRIMARY KEY,
    task BLOB NOT NULL, -- its id
    attempt INTEGER NOT NULL,
    run INTEGER NOT NULL,
    node TEXT NOT NULL,
    state INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER NOT NULL,
    error TEXT NOT NULL,
    stack TEXT NOT NULL
) STRICT;

CREATE INDEX taskrunner_attempts_task ON taskrunner_attempts (task);

-- Up to where outcomes of a runner were deleted.
CREATE TABLE taskrunner_pruned (
    runner TEXT PRIMARY KEY,
    pos INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
