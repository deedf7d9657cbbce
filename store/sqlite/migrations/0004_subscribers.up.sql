-- Who follows the outcomes of a runner, and up to where each has acknowledged them. There are at most a hundred of a runner, so that
-- to look at all of them needs no index.
CREATE TABLE taskrunner_subscribers (
    runner TEXT NOT NULL,
    name TEXT NOT NULL,
    pos INTEGER NOT NULL CHECK (pos >= 0),
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (runner, name)
) STRICT, WITHOUT ROWID;

-- Which database this is: by it, those who come from another machine know it again. A copy of the file is the same one.
CREATE TABLE taskrunner_identity (
    id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

INSERT INTO taskrunner_identity (id) VALUES (lower(hex(randomblob(16))));
