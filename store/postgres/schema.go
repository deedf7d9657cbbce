package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/taskrunner-go/taskrunner/store"
)

// expected is what the catalog of the server says of our tables after all migrations, line by line. A test holds it to them.
//
//go:embed schema.txt
var expected string

// describe gives such lines. The names of the schema are taken out of them.
const describe = `SELECT 'table ' || c.relname || ' column ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ||
		CASE WHEN a.attcollation = '"C"'::regcollation THEN ' "C"' ELSE '' END || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END || CASE WHEN a.attidentity <> '' OR a.attgenerated <> '' THEN ' generated' ELSE '' END
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
	WHERE n.nspname = {name} AND c.relname IN ({names}) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
	UNION ALL
	SELECT CASE c.relkind WHEN 'r' THEN 'table ' WHEN 'S' THEN 'sequence ' ELSE 'other ' END || c.relname ||
		CASE c.relpersistence WHEN 'p' THEN ' is logged' ELSE ' is not logged' END || CASE WHEN c.relrowsecurity THEN ' with row security' ELSE '' END
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = {name} AND c.relname IN ({names}) AND c.relkind <> 'i'
	UNION ALL
	SELECT 'sequence ' || c.relname || ' by ' || q.seqincrement || ', cached ' || q.seqcache || CASE WHEN q.seqcycle THEN ', cycling' ELSE '' END
	FROM pg_sequence q JOIN pg_class c ON c.oid = q.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = {name} AND c.relname IN ({names})
	UNION ALL
	SELECT 'index ' || i.relname || ' ' || replace(pg_get_indexdef(x.indexrelid), 'ON ' || quote_ident(n.nspname) || '.', 'ON ') ||
		CASE WHEN x.indisvalid THEN '' ELSE ' invalid' END
	FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = i.relnamespace
	WHERE n.nspname = {name} AND c.relname IN ({names})
	UNION ALL
	SELECT 'constraint ' || x.conname || ' on ' || c.relname || ' ' || pg_get_constraintdef(x.oid)
	FROM pg_constraint x JOIN pg_class c ON c.oid = x.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = {name} AND c.relname IN ({names}) AND x.contype <> 'n'
	UNION ALL
	SELECT 'trigger ' || x.tgname || ' on ' || c.relname
	FROM pg_trigger x JOIN pg_class c ON c.oid = x.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = {name} AND c.relname IN ({names}) AND NOT x.tgisinternal
	ORDER BY 1`

// denied gives the names of what we may not use.
const denied = `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = {name} AND c.relname IN ({names}) AND CASE c.relkind
		WHEN 'r' THEN NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
			AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
		WHEN 'S' THEN NOT has_sequence_privilege(c.oid, 'USAGE')
		ELSE false END
	ORDER BY 1`

// expectedLines are those of a schema that is as it should be.
func expectedLines() []string { return strings.Split(strings.TrimSpace(expected), "\n") }

// ourNames are the names of our tables, sequences and indices, for a list in a statement.
func ourNames() string {
	names := []string{quoteText("migrations")}
	for _, line := range expectedLines() {
		words := append(strings.Fields(line), "", "")
		if name := quoteText(words[1]); words[0] != "constraint" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

func (s *schema) ask(ctx context.Context, text string) (lines []string, err error) {
	text = strings.NewReplacer("{name}", quoteText(s.name), "{names}", strings.Replace(ourNames(), "'migrations', ", "", 1)).Replace(text)
	return lines, s.run(ctx, text, func(c *columns) { lines = append(lines, c.text()) })
}

// verify compares the tables with what they should be, and finds out whether we may use them. Indices of somebody's own are welcome.
func (s *schema) verify(ctx context.Context) error {
	lines, err := s.ask(ctx, describe)
	if err != nil {
		return err
	}
	if diff := differences(expectedLines(), lines); len(diff) > 0 {
		return fmt.Errorf("%w: in the schema %q: %s", store.ErrSchema, s.name, strings.Join(diff, "; "))
	}
	names, err := s.ask(ctx, denied)
	if err == nil && len(names) > 0 {
		return fmt.Errorf("%w: the user may not read and write %s in the schema %q", store.ErrDenied, strings.Join(names, ", "), s.name)
	}
	return err
}

// differences says what is missing and what is too much.
func differences(want, got []string) (diff []string) {
	for _, line := range want {
		if !slices.Contains(got, line) {
			diff = append(diff, "missing: "+line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) && !strings.HasPrefix(line, "index ") {
			diff = append(diff, "unexpected: "+line)
		}
	}
	return diff
}
