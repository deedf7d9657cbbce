package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/taskrunner-go/taskrunner/store"
)

// checkedBytes is the largest file that is checked page by page when it is opened: 256 MiB take half a second, a million
// tasks (540 MiB) took one. Of larger ones only a few pages are read; damage elsewhere is store.ErrCorrupt when it is
// met.
const checkedBytes = 256 << 20

// spotCheck reads a few pages of a file whose schema has at least this version.
type spotCheck struct {
	since int64
	text  string
}

// spotChecks read both ends of the tables and of their first indices, and so the inner pages on the way there. A file of version 1 is
// about to be read whole, by the migration.
var spotChecks = [...]spotCheck{
	{2, `SELECT seq FROM taskrunner_tasks ORDER BY seq LIMIT 1`},
	{2, `SELECT seq FROM taskrunner_tasks ORDER BY seq DESC LIMIT 1`},
	{2, `SELECT seq FROM taskrunner_tasks INDEXED BY taskrunner_tasks_id ORDER BY id LIMIT 1`},
	{2, `SELECT seq FROM taskrunner_tasks INDEXED BY taskrunner_tasks_id ORDER BY id DESC LIMIT 1`},
	{2, `SELECT pos FROM taskrunner_finished ORDER BY pos LIMIT 1`},
	{2, `SELECT pos FROM taskrunner_finished ORDER BY pos DESC LIMIT 1`},
	{2, `SELECT pos FROM taskrunner_finished INDEXED BY taskrunner_finished_id WHERE superseded = 0 ORDER BY id LIMIT 1`},
	{2, `SELECT pos FROM taskrunner_finished INDEXED BY taskrunner_finished_id WHERE superseded = 0 ORDER BY id DESC LIMIT 1`},
	{4, `SELECT pos FROM taskrunner_subscribers ORDER BY runner, name LIMIT 1`},
	{4, `SELECT pos FROM taskrunner_subscribers ORDER BY runner DESC, name DESC LIMIT 1`},
}

// checkHealth looks for damage before anything is written. That the file is shorter than its header says, SQLite
// notices by itself at the first read.
func (c *conn) checkHealth(id identity, large bool) error {
	if id.version == 0 {
		return nil // new: there is nothing to be damaged
	}
	if large {
		return c.checkSpots(id.version)
	}
	var verdict string
	if err := c.query(context.Background(), `PRAGMA quick_check(1)`, collectText(&verdict)); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", store.ErrCorrupt, verdict)
	}
	return nil
}

func (c *conn) checkSpots(version int64) error {
	for _, spot := range spotChecks {
		if spot.since > version {
			continue
		}
		if _, err := c.number(spot.text); err != nil {
			return err
		}
	}
	return nil
}

// collectText keeps the first column of the first row.
func collectText(text *string) func([]driver.Value) error {
	return func(row []driver.Value) error {
		*text, _ = row[0].(string)
		return errStop
	}
}
