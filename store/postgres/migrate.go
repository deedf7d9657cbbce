package postgres

import (
	"context"
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/internal/migrations"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// newest is the version of the schema that this program knows. A test holds it to the files.
const newest = 2

// Migrate takes the tables in the schema of cfg to the version, up or down. Open does that by itself, to the newest version; this is for
// going back before an older program opens the database, when no store has it open. Going down loses what the older tables cannot
// hold; version 0 is none.
func Migrate(ctx context.Context, url string, cfg Config, version int) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	if version < 0 || version > newest {
		return fmt.Errorf("store/postgres: version is %d: it must be from 0 to %d", version, newest)
	}
	pool, err := dial(ctx, url, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	l, err := take(ctx, pool, cfg.TransactionPooling)
	if err != nil {
		return fault("migrating", err)
	}
	defer l.give()
	return fault("migrating", migrate(ctx, l, cfg.Schema, version))
}

// schema is one being migrated.
type schema struct {
	name, quoted string
	t            *txn
	present      bool // whether there is a schema of the name
	version      int  // of our tables; 0: there are none
}

// The record of what was done. That the table is ours, its comment says: other programs have one of the same name.
const (
	migrationsMark   = "migrations of taskrunner"
	createMigrations = `CREATE TABLE {schema}.migrations (
	version    integer PRIMARY KEY,
	name       text NOT NULL,
	applied_at timestamptz NOT NULL DEFAULT now()
)`
	markMigrations = `COMMENT ON TABLE {schema}.migrations IS '` + migrationsMark + `'`
)

// migrate takes the schema to the version, and makes sure that the newest is as it should be.
func migrate(ctx context.Context, l *link, name string, to int) error {
	s := &schema{name: name, quoted: quoteName(name), t: &txn{l: l}}
	defer s.t.end()
	if err := s.bring(ctx, to); err != nil || to < newest {
		return err
	}
	return s.verify(ctx)
}

// bring takes the schema to the version in one transaction, or finds that it is there. Of many that start together, one does it, and the
// others wait.
func (s *schema) bring(ctx context.Context, to int) error {
	if err := s.read(ctx); err != nil || s.version == to {
		return err
	}
	if err := s.change(ctx, to); err != nil {
		return fmt.Errorf("from version %d of the tables to %d: %w", s.version, to, err)
	}
	s.t.end()
	return nil
}

// read finds out whose schema it is, and in which version. It changes nothing.
func (s *schema) read(ctx context.Context) error {
	s.present, s.version = false, 0
	var ours bool
	err := s.run(ctx,
		`SELECT 1 FROM pg_namespace WHERE nspname = `+quoteText(s.name), func(*columns) { s.present = true },
		`SELECT coalesce(obj_description(c.oid, 'pg_class'), '') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = `+quoteText(s.name)+` AND c.relname = 'migrations'`, func(c *columns) { ours = c.text() == migrationsMark })
	if err != nil || !ours {
		return err
	}
	var done []int64
	err = s.run(ctx, `SELECT version::bigint FROM `+s.quoted+`.migrations ORDER BY version`, func(c *columns) { done = append(done, c.int64()) })
	if err != nil {
		return err
	}
	s.version, err = versionOf(done)
	return err
}

// versionOf is the version of tables to which these migrations were done, in their order. As many as that are done, each once: of
// anything else it is not known what the tables are like.
func versionOf(done []int64) (version int, err error) {
	for i, n := range done {
		if n > newest {
			return 0, fmt.Errorf("%w: the tables have version %d, this program knows versions up to %d", store.ErrNewerVersion, done[len(done)-1], newest)
		}
		if n != int64(i+1) {
			return 0, fmt.Errorf("%w: the table migrations has the versions %d: they must be 1, 2 and so on, up to %d at most", store.ErrSchema, done, newest)
		}
	}
	if len(done) == 0 {
		return 0, fmt.Errorf("%w: the table migrations is empty: it must have a row for each version from 1 on", store.ErrSchema)
	}
	return len(done), nil
}

// change makes the steps, in a transaction that begins by waiting for its turn.
func (s *schema) change(ctx context.Context, to int) error {
	steps, err := migrations.Read(migrationFiles)
	if err != nil {
		return err
	}
	turn := `SELECT pg_advisory_xact_lock(` + strconv.FormatInt(migrationTurn, 10) + `)`
	if err := s.t.run(ctx, newStatement(turn).with()); err != nil {
		return err
	}
	if err := s.read(ctx); err != nil || s.version == to { // somebody else was faster
		return err
	}
	if s.version == 0 {
		if err := s.mayBegin(ctx); err != nil {
			return err
		}
	}
	texts := s.scripts(steps, to)
	for _, text := range texts {
		if _, err := s.t.l.pg.Exec(ctx, strings.ReplaceAll(text, "{schema}", s.quoted)).ReadAll(); err != nil {
			return err
		}
	}
	return s.t.commit(ctx)
}

// migrationTurn is the lock of those who migrate, in all schemas of a database.
const migrationTurn = 0x7461736b72756e6e

// mayBegin refuses a schema in which names of ours are another application's.
func (s *schema) mayBegin(ctx context.Context) error {
	var taken []string
	err := s.run(ctx, `SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = `+quoteText(s.name)+` AND c.relname IN (`+ourNames()+`) ORDER BY c.relname`, func(c *columns) { taken = append(taken, c.text()) })
	if err == nil && len(taken) > 0 {
		return fmt.Errorf("%w: the schema %q has %s, which another application has made; choose another Config.Schema",
			store.ErrSchema, s.name, strings.Join(taken, ", "))
	}
	return err
}

// scripts is what change runs, in order.
func (s *schema) scripts(steps []migrations.Step, to int) (scripts []string) {
	if !s.present {
		scripts = append(scripts, `CREATE SCHEMA {schema}`)
	}
	if s.version == 0 {
		scripts = append(scripts, createMigrations, markMigrations)
	}
	for version := s.version + 1; version <= to; version++ {
		step := steps[version-1]
		scripts = append(scripts, step.Up, fmt.Sprintf(`INSERT INTO {schema}.migrations (version, name) VALUES (%d, '%s')`, version, step.Name))
	}
	for version := s.version; version > to; version-- {
		scripts = append(scripts, steps[version-1].Down, fmt.Sprintf(`DELETE FROM {schema}.migrations WHERE version = %d`, version))
	}
	if to == 0 { // the schema stays: it may have been there before
		scripts = append(scripts, `DROP TABLE {schema}.migrations`)
	}
	return scripts
}

// run runs statements with what is done with their rows. In a transaction that has begun, it is part of that.
func (s *schema) run(ctx context.Context, textsAndRows ...any) error {
	for pair := range slices.Chunk(textsAndRows, 2) {
		call := newStatement(pair[0].(string)).with().each(pair[1].(func(*columns)))
		if err := s.t.l.run(ctx, call); err != nil {
			return err
		}
	}
	return nil
}
