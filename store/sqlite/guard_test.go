package sqlite_test

import (
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// refusedInTx would outlast the transaction, end it, or change what is ours.
var refusedInTx = []string{
	"COMMIT", "ROLLBACK", "BEGIN", "END", "SAVEPOINT a", "PRAGMA synchronous = OFF", "PRAGMA foreign_keys = OFF", "PRAGMA user_version = 7",
	"PRAGMA journal_mode = DELETE", "PRAGMA locking_mode = EXCLUSIVE", "PRAGMA writable_schema = ON", "PRAGMA wal_checkpoint",
	"PRAGMA recursive_triggers = ON", "PRAGMA max_page_count = 1", "PRAGMA incremental_vacuum",
	"ATTACH ':memory:' AS other", "DETACH main", "VACUUM", "VACUUM INTO '/tmp/never'",
	"CREATE TEMP TABLE taskrunner_tasks (x)", "CREATE TEMP VIEW v AS SELECT 1", "CREATE TEMP TRIGGER tr AFTER INSERT ON songs BEGIN SELECT 1; END",
	"UPDATE taskrunner_tasks SET state = 1", "DELETE FROM taskrunner_finished", "INSERT INTO taskrunner_meta VALUES (2, 0, 0, 0)",
	"DROP TABLE taskrunner_tasks", "DROP INDEX taskrunner_tasks_id", "ALTER TABLE taskrunner_tasks ADD COLUMN mine",
	"ALTER TABLE taskrunner_tasks RENAME TO mine", "CREATE INDEX mine ON taskrunner_tasks (key)", "CREATE TABLE taskrunner_mine (x)",
	"CREATE VIEW TASKRUNNER_mine AS SELECT 1", "UPDATE sqlite_schema SET sql = ''",
	"INSERT INTO songs (title) VALUES ('x'); COMMIT; BEGIN",
}

var allowedInTx = []string{
	"CREATE TABLE mine (id INTEGER PRIMARY KEY, task TEXT)", "CREATE INDEX mine_task ON mine (task)", "INSERT INTO mine (task) SELECT hex(id) FROM taskrunner_tasks",
	"CREATE TRIGGER mine_added AFTER INSERT ON mine BEGIN INSERT INTO songs (title) VALUES (new.task); END", "INSERT INTO mine (task) VALUES ('a')",
	"UPDATE mine SET task = 'b'", "ALTER TABLE mine ADD COLUMN more TEXT", "ALTER TABLE mine RENAME TO yours", "DELETE FROM yours", "DROP TABLE yours",
	"CREATE VIEW waiting AS SELECT count(*) AS n FROM taskrunner_tasks", "DROP VIEW waiting", "CREATE VIRTUAL TABLE words USING fts5 (word)",
	"INSERT INTO words VALUES ('blue')", "DROP TABLE words", "SELECT * FROM pragma_table_info('songs')", "PRAGMA table_info(songs)", "PRAGMA user_version",
	"PRAGMA foreign_key_check", "ANALYZE songs", "REINDEX songs", "EXPLAIN SELECT 1",
}

// TestInTxGuards: each is refused by name, and what follows in the same transaction works.
func TestInTxGuards(t *testing.T) {
	s := withSongs(t, sqlite.Config{})
	before := pragmas(t, s)
	inTx(t, s, func(tx *sqlite.Tx) error {
		for _, text := range refusedInTx {
			err := run(tx, text)
			if err == nil {
				t.Errorf("%s is not refused", text)
			} else if strings.Contains(err.Error(), "not authorized") && !strings.Contains(err.Error(), "may not do this") {
				t.Errorf("%s: the error does not say what is refused: %v", text, err)
			}
		}
		for _, text := range allowedInTx {
			if err := run(tx, text); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
		return nil
	})
	if after := pragmas(t, s); after != before {
		t.Errorf("the writer's connection was %s, is %s", before, after)
	}
	if n := songs(t, s); n == 0 {
		t.Error("the trigger did nothing")
	}
	path := s.Path()
	_ = s.Close()
	open(t, path)
}

// pragmas is how the writer's connection is set.
func pragmas(t *testing.T, s *sqlite.Store) string {
	t.Helper()
	state, err := s.WriterState(t.Context(), "synchronous", "foreign_keys", "journal_mode", "cache_size", "wal_autocheckpoint", "temp_store",
		"busy_timeout", "max_page_count", "locking_mode", "recursive_triggers", "query_only", "defer_foreign_keys", "database_list")
	if err != nil {
		t.Fatal(err)
	}
	return state
}
