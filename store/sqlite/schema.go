package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/taskrunner-go/taskrunner/store"
)

// object is a table, an index, a trigger or a view, as sqlite_schema has it.
type object struct{ kind, name, table, text string }

// schema gives the objects of a database by name, but for those that SQLite makes by itself.
func (c *conn) schema() (map[string]object, error) {
	objects := map[string]object{}
	err := c.query(context.Background(), selectSchema, func(row []driver.Value) error {
		c := columns{row: row}
		o := object{kind: next[string](&c), name: next[string](&c), table: next[string](&c), text: plain(next[string](&c))}
		objects[o.name] = o
		return c.err
	})
	return objects, err
}

const selectSchema = `SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'`

// plain is the text of a statement without its comments, and with one space between words: both may change in the files of the
// migrations, and a database keeps those it was made with. Quotes are those that a RENAME adds.
func plain(text string) string {
	var words []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "--")
		words = append(words, strings.Fields(line)...)
	}
	return strings.ReplaceAll(strings.Join(words, " "), `"`, "")
}

// checkSchema compares our objects in the database with what the migrations up to the version make. Whatever stands on our
// tables must be ours: a trigger would be run by our statements, and an index would make them slow. Tables of the application
// beside ours are its own business, unless they refer to ours: then our deletes would fail.
func (c *conn) checkSchema(steps []migration, version int) error {
	want, err := schemaAt(steps, version)
	if err != nil {
		return err
	}
	got, err := c.schema()
	if err != nil {
		return err
	}
	if err := compareSchemas(got, want); err != nil {
		return err
	}
	return c.checkReferences()
}

func compareSchemas(got, want map[string]object) error {
	for _, o := range inOrder(want) {
		switch found, ok := got[o.name]; {
		case !ok:
			return fmt.Errorf("%w: the %s %s is missing", store.ErrSchema, o.kind, o.name)
		case found != o:
			return fmt.Errorf("%w: the %s %s was changed: it is %q, want %q", store.ErrSchema, found.kind, o.name, found.text, o.text)
		}
	}
	for _, o := range inOrder(got) {
		_, ours := want[o.name]
		_, onOurs := want[o.table]
		if !ours && (onOurs || len(want) > 0 && isOurs(o.name)) {
			return fmt.Errorf("%w: the %s %s on %s was added", store.ErrSchema, o.kind, o.name, o.table)
		}
	}
	return nil
}

// inOrder has tables come before what is on them: a missing table says more than its missing index.
func inOrder(objects map[string]object) []object {
	return slices.SortedFunc(maps.Values(objects), func(a, b object) int {
		return cmp.Or(cmp.Compare(b.kind, a.kind), cmp.Compare(a.name, b.name))
	})
}

const selectReferences = `SELECT m.name, f."table" FROM sqlite_schema m, pragma_foreign_key_list(m.name) f
	WHERE m.type = 'table' AND f."table" LIKE 'taskrunner!_%' ESCAPE '!'`

func (c *conn) checkReferences() error {
	return c.query(context.Background(), selectReferences, func(row []driver.Value) error {
		return fmt.Errorf("%w: the table %v has a foreign key to %v, whose rows come and go; keep the id of the task instead",
			store.ErrSchema, row[0], row[1])
	})
}

// schemaAt makes the schema in a database in memory, which takes some milliseconds.
func schemaAt(steps []migration, version int) (_ map[string]object, err error) {
	if version == 0 {
		return nil, nil
	}
	c, err := dial(context.Background(), ":memory:")
	if err != nil {
		return nil, err
	}
	defer func() {
		if closing := c.close(); err == nil {
			err = closing
		}
	}()
	if err := c.migrate(steps, 0, version); err != nil {
		return nil, err
	}
	return c.schema()
}
