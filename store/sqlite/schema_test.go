package sqlite_test

import (
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// TestOpenChangedSchema: what somebody has changed by hand is named, and nothing else is changed.
func TestOpenChangedSchema(t *testing.T) {
	cases := []struct{ change, want string }{
		{`DROP INDEX taskrunner_tasks_timed`, "index taskrunner_tasks_timed is missing"},
		{`DROP TABLE taskrunner_pruned`, "table taskrunner_pruned is missing"},
		{`DROP TABLE taskrunner_subscribers`, "table taskrunner_subscribers is missing"},
		{`ALTER TABLE taskrunner_subscribers ADD COLUMN mine TEXT`, "mine TEXT"},
		{`ALTER TABLE taskrunner_tasks RENAME COLUMN key TO name`, "table taskrunner_tasks was changed: it is"},
		{`ALTER TABLE taskrunner_tasks DROP COLUMN result`, "table taskrunner_tasks was changed"},
		{`ALTER TABLE taskrunner_finished ADD COLUMN note TEXT`, "note TEXT"},
		{`ALTER TABLE taskrunner_kinds RENAME TO kinds`, "taskrunner_kinds is missing"},
		{`CREATE INDEX mine ON taskrunner_tasks (key)`, "index mine on taskrunner_tasks was added"},
		{`CREATE TRIGGER mine AFTER INSERT ON taskrunner_tasks BEGIN SELECT 1; END`, "trigger mine on taskrunner_tasks was added"},
		{`CREATE TABLE taskrunner_more (x)`, "table taskrunner_more on taskrunner_more was added"},
		{`DROP INDEX taskrunner_finished_id; CREATE INDEX taskrunner_finished_id ON taskrunner_finished (id) WHERE superseded = 0`,
			"index taskrunner_finished_id was changed"},
		{`CREATE TABLE mine (task BLOB REFERENCES taskrunner_tasks (id))`, "mine has a foreign key to taskrunner_tasks"},
		{`DELETE FROM taskrunner_meta`, "taskrunner_meta is empty"},
		{`DELETE FROM taskrunner_identity`, "taskrunner_identity is empty"},
		{`DELETE FROM taskrunner_kinds`, ""},
	}
	for _, c := range cases {
		path, _ := filled(t)
		raw(t, path, c.change)
		unchanged(t, path, func() {
			_, err := sqlite.Open(t.Context(), path, sqlite.Config{})
			if strings.Contains(c.change, "DELETE") {
				wantFault(t, err, store.ErrCorrupt, path)
			} else {
				wantFault(t, err, store.ErrSchema, path)
			}
			if err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: the error does not say %q: %v", c.change, c.want, err)
			}
		})
	}
}

// TestOpenSameSchema: how a statement is written is not what the schema is.
func TestOpenSameSchema(t *testing.T) {
	path, _ := filled(t)
	raw(t, path, "PRAGMA writable_schema = ON",
		"UPDATE sqlite_schema SET sql = replace(sql, 'id BLOB NOT NULL,', '-- another comment\n  id\tBLOB NOT NULL, -- and one more')",
		"PRAGMA writable_schema = RESET")
	open(t, path)
}
