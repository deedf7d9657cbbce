package sqlite

import (
	"embed"
	"fmt"
	"slices"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/internal/migrations"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// applicationID is in the header of each database of ours ("tskr"), which tells it from those of other programs.
const applicationID = 0x74736b72

// migration is one step of the schema, to the version and back from it.
type migration struct {
	migrations.Step
	filled  func(*conn) error // what is done after Up that SQL cannot do; may be nil
	emptied func(*conn) error // likewise, before Down
}

// readMigrations gives all of them, in order.
func readMigrations() ([]migration, error) {
	read, err := migrations.Read(migrationFiles)
	if err != nil {
		return nil, err
	}
	steps := make([]migration, len(read))
	for i := range read {
		steps[i].Step = read[i]
	}
	steps[1].filled, steps[1].emptied = copyUp, copyDown
	return steps, nil
}

// identity is what a database file says of itself.
type identity struct{ application, version, objects int64 }

// identity reads the numbers in the header, and whether there is anything in the file. It only reads: until this is
// judged, the file may be anybody's.
func (c *conn) identity() (id identity, err error) {
	if id.application, err = c.number(`PRAGMA application_id`); err != nil {
		return id, err
	}
	if id.version, err = c.number(readUserVersion); err != nil {
		return id, err
	}
	id.objects, err = c.number(`SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'`)
	return id, err
}

// judge says whether a database can be ours: new and empty, or written by this version or an older one.
func (id identity) judge(latest int) error {
	switch {
	case id.application == applicationID && id.version > int64(latest):
		return fmt.Errorf("%w: its schema has version %d, this program knows versions up to %d",
			store.ErrNewerVersion, id.version, latest)
	case id.application == applicationID && id.version < 1:
		return fmt.Errorf("%w: its schema has version %d", store.ErrCorrupt, id.version)
	case id.application == applicationID:
		return nil
	case id == identity{}:
		return nil
	}
	return fmt.Errorf("%w: it is the database of another application (application id %#x, %d tables and indices); "+
		"it was left as it is", store.ErrSchema, id.application, id.objects)
}

// createMigrations is the record of what was done to the schema, for a person who looks into the file; the version that
// counts is PRAGMA user_version.
const createMigrations = `CREATE TABLE IF NOT EXISTS migrations (
	version INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	applied_at INTEGER NOT NULL DEFAULT (unixepoch()) -- in seconds
) STRICT`

// migrationsTable is the name of that table in a schema of this version.
func migrationsTable(version int) string {
	if version < 2 {
		return "migrations"
	}
	return "taskrunner_migrations"
}

// migrate takes the schema from one version to the other, up or down, in one transaction: all of it or nothing.
func (c *conn) migrate(steps []migration, from, to int) (err error) {
	if from == to {
		return nil
	}
	if err := c.script(beginWriting); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = c.script(rollback)
		}
	}()
	if err := c.migrateAll(steps, from, to); err != nil {
		return fmt.Errorf("from schema version %d to %d: %w", from, to, err)
	}
	return c.script(commit)
}

// migrateAll sets the numbers in the header in the same transaction, so that no crash leaves a schema with the number of another.
func (c *conn) migrateAll(steps []migration, from, to int) error {
	if from == 0 {
		if err := c.script(createMigrations); err != nil {
			return err
		}
	}
	for _, step := range steps[from:max(from, to)] {
		if err := c.goUp(step); err != nil {
			return err
		}
	}
	for _, step := range slices.Backward(steps[to:max(from, to)]) {
		if err := c.goDown(step); err != nil {
			return err
		}
	}
	application := applicationID
	if to == 0 { // a file that anybody may use
		application = 0
		if err := c.script("DROP TABLE migrations"); err != nil {
			return err
		}
	}
	if err := c.script(fmt.Sprintf("PRAGMA application_id = %d", application)); err != nil {
		return err
	}
	return c.script(fmt.Sprint(writeUserVersion, to))
}

func (c *conn) goUp(step migration) error {
	if err := c.script(step.Up); err != nil {
		return err
	}
	if step.filled != nil {
		if err := step.filled(c); err != nil {
			return err
		}
	}
	return c.script(fmt.Sprintf("INSERT INTO %s (version, name) VALUES (%d, '%s')",
		migrationsTable(step.Version), step.Version, step.Name))
}

func (c *conn) goDown(step migration) error {
	if step.emptied != nil {
		if err := step.emptied(c); err != nil {
			return err
		}
	}
	if err := c.script(step.Down); err != nil {
		return err
	}
	return c.script(fmt.Sprintf("DELETE FROM %s WHERE version = %d", migrationsTable(step.Version-1), step.Version))
}
