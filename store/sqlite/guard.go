package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	modernc "modernc.org/sqlite"
)

// guard stands at the writer's connection while it is lent, so that nothing that is done there outlasts the transaction, ends it
// early, or touches our tables. SQLite asks it when a statement is prepared, and tells it of rollbacks.
type guard struct {
	lent    bool   // only then does it refuse anything
	lost    bool   // SQLite has rolled the lent transaction back by itself
	refused string // what was refused last
}

// ourPrefix is how the names of our tables and indices begin.
const ourPrefix = "taskrunner_"

// dialGuarded opens a connection for the writer.
func dialGuarded(ctx context.Context, dsn string) (*conn, error) {
	c, err := dial(ctx, dsn)
	if err != nil {
		return nil, err
	}
	g := &guard{}
	hooks, ok := c.raw.(interface {
		modernc.AuthorizerRegisterer
		RegisterRollbackHook(modernc.RollbackHookFn)
	})
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver's connection is a %T, which has no hooks", c.raw), c.close())
	}
	if err := hooks.RegisterAuthorizer(g.authorize); err != nil {
		return nil, errors.Join(err, c.close())
	}
	hooks.RegisterRollbackHook(g.rolledBack)
	c.guard = g
	return c, nil
}

// lend has the guard refuse things, or not, from now on. It gives whether the transaction was lost before.
func (g *guard) lend(on bool) (lost bool) {
	lost = g.lost
	g.lent, g.lost, g.refused = on, false, ""
	return lost
}

// authorize decides whether a statement may do something.
func (g *guard) authorize(action modernc.AuthorizerActionCode, arg1, arg2, _, _ string) modernc.AuthorizerReturnCode {
	if !g.lent {
		return modernc.AuthorizerOK
	}
	if refused := refusal(action, arg1, arg2); refused != "" {
		g.refused = refused
		return modernc.AuthorizerDeny
	}
	return modernc.AuthorizerOK
}

// rolledBack is told of each rollback. After one that SQLite has made by itself, each statement would be a transaction of its own.
func (g *guard) rolledBack() {
	if g.lent {
		g.lost = true
	}
}

// refusal names what a lent transaction may not do; "" is what it may.
func refusal(action modernc.AuthorizerActionCode, arg1, arg2 string) string {
	switch action {
	case modernc.AuthTransaction:
		return arg1 + ": the transaction ends with the function that it was lent to"
	case modernc.AuthSavepoint:
		return "SAVEPOINT: it would undo half of what Insert and Complete have done"
	case modernc.AuthAttach, modernc.AuthDetach:
		return "ATTACH or DETACH: it would outlast the transaction"
	case modernc.AuthCreateTempIndex, modernc.AuthCreateTempTable, modernc.AuthCreateTempTrigger, modernc.AuthCreateTempView:
		return "CREATE TEMP: it would outlast the transaction"
	case modernc.AuthPragma:
		return refusedPragma(arg1, arg2)
	case modernc.AuthInsert, modernc.AuthUpdate, modernc.AuthDelete, modernc.AuthCreateTable, modernc.AuthDropTable,
		modernc.AuthCreateView, modernc.AuthCreateVTable:
		return refusedTable(arg1)
	case modernc.AuthAlterTable, modernc.AuthCreateIndex, modernc.AuthDropIndex, modernc.AuthCreateTrigger, modernc.AuthDropTrigger:
		return refusedTable(arg2)
	}
	return ""
}

func isOurs(name string) bool {
	return len(name) >= len(ourPrefix) && strings.EqualFold(name[:len(ourPrefix)], ourPrefix)
}

func refusedTable(name string) string {
	if isOurs(name) {
		return "a change of " + name + ": names with " + ourPrefix + " are the store's"
	}
	return ""
}

// refusedPragma lets those pass that only read.
func refusedPragma(name, value string) string {
	switch strings.ToLower(name) {
	case "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list",
		"foreign_key_check", "function_list", "module_list", "pragma_list", "collation_list", "database_list", "compile_options":
		return ""
	case "user_version", "application_id", "schema_version", "data_version", "page_count", "page_size", "freelist_count",
		"foreign_keys", "encoding":
		if value == "" {
			return ""
		}
	}
	return "PRAGMA " + name + ": it would outlast the transaction"
}
