package postgres

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Describe makes our tables in a schema, and gives what schema.txt is to be.
func Describe(ctx context.Context, pool *pgxpool.Pool, name string) (string, error) {
	l, err := take(ctx, pool, false)
	if err != nil {
		return "", err
	}
	defer l.give()
	s := &schema{name: name, quoted: quoteName(name), t: &txn{l: l}}
	if err := s.bring(ctx, newest); err != nil {
		return "", err
	}
	names := `SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = {name} AND c.relname <> 'migrations'`
	text := strings.ReplaceAll(strings.ReplaceAll(describe, "{names}", names), "{name}", quoteText(name))
	var lines []string
	err = s.run(ctx, text, func(c *columns) { lines = append(lines, c.text()) })
	return strings.Join(lines, "\n") + "\n", err
}

// Newest is the version of the schema, and Migrations how many there are.
const Newest = newest

func Migrations() (int, error) {
	steps, err := migrations()
	return len(steps), err
}

// ErrSpoolFull is in what Finish answers.
var ErrSpoolFull = errSpoolFull
