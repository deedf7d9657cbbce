CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of insertion; AUTOINCREMENT, because no number may be used twice
    id BLOB NOT NULL,                      -- the 16 bytes of the UUID
    -- 0 scheduled, 1 available, 2 retryable (these wait), 3 running, 4 completed, 5 cancelled, 6 discarded
    state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 6),
    run INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    progress REAL NOT NULL,
    runner TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    node TEXT NOT NULL,                    -- '' unless running
    timeout INTEGER NOT NULL,              -- in microseconds; 0 is none
    inserted_at INTEGER NOT NULL,          -- all times are in microseconds since 1970, UTC
    scheduled_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    -- The large columns are last: to read the others, SQLite need not follow a long row's overflow pages.
    args BLOB,
    result BLOB
) STRICT;

CREATE UNIQUE INDEX tasks_id ON tasks (id);

-- A claim reads one kind after the other from the start of its part of this index, so that what it costs does not
-- depend on how many tasks of other kinds wait.
CREATE INDEX tasks_waiting ON tasks (runner, kind, scheduled_at, seq) WHERE state < 3;

CREATE INDEX tasks_running ON tasks (runner, node, cancel_requested) WHERE state = 3;

-- Pages of tasks in one state. Running ones are found by the index above: there are never many.
CREATE INDEX tasks_state ON tasks (state, seq) WHERE state <> 3;

-- Pages of the tasks of one kind. Neither column ever changes, so this index costs an insert and nothing else.
CREATE INDEX tasks_kind ON tasks (kind, seq);

CREATE INDEX tasks_completed ON tasks (key, kind, seq) WHERE state = 4 AND key <> '';

-- What each run that did not complete has left. A task that completes at the first attempt has no row here.
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    task INTEGER NOT NULL REFERENCES tasks (seq) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    run INTEGER NOT NULL,
    node TEXT NOT NULL,
    at INTEGER NOT NULL,
    error TEXT NOT NULL,
    stack TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX attempts_task ON attempts (task, run);

-- How many tasks of a runner are in a state, kept by each write: to count a million rows takes a tenth of a second.
CREATE TABLE counts (
    runner TEXT NOT NULL,
    state INTEGER NOT NULL,
    tasks INTEGER NOT NULL,
    PRIMARY KEY (runner, state)
) STRICT, WITHOUT ROWID;
