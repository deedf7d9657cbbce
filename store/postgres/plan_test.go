package postgres_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
)

// TestPlans: no statement reads all tasks or all outcomes, also if the server knows nothing of the tables but their size.
func TestPlans(t *testing.T) {
	t.Parallel()
	url := server.NewDatabase(t)
	s := open(t, url, postgres.Config{})
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	run := func(text string) (lines []string) {
		t.Helper()
		results, err := conn.PgConn().Exec(t.Context(), text).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for _, row := range results[0].Rows {
			lines = append(lines, string(row[0]))
		}
		return lines
	}
	var tables []string
	for _, table := range []string{"tasks", "finished", "attempts", "bundles", "counts"} {
		tables = append(tables, `ALTER TABLE taskrunner.`+table+` SET (autovacuum_enabled = off)`)
	}
	execute(t, url, tables...)
	// What is claimed must go by index from the first task on; the others when there are many.
	checkPlans(t, run, "claim", "claimNext", "claimedBy", "poll", "orphanNodes")
	for range 5 {
		var outcomes []store.Outcome
		tasks := make([]store.NewTask, 2000)
		for i := range tasks {
			tasks[i] = newTask()
			if i%2 == 0 {
				tasks[i].Node = node
			}
		}
		for i, task := range insert(t, s, tasks...) {
			if i%2 == 0 {
				outcomes = append(outcomes, outcome(task, []store.State{store.Completed, store.Discarded}[i/2%2]))
			}
		}
		_, err := s.Finish(t.Context(), outcomes)
		must(t, err)
	}
	checkPlans(t, run)
}

// whole matches what reads all of a table that may be large.
var whole = regexp.MustCompile(`Seq Scan on (tasks|finished|attempts)\b`)

// checkPlans asks for the plan that serves any parameters, of these statements or of all.
func checkPlans(t *testing.T, run func(string) []string, names ...string) {
	t.Helper()
	texts := postgres.Texts("taskrunner")
	if len(names) == 0 {
		for name := range texts {
			names = append(names, name)
		}
	}
	run(`SET plan_cache_mode = force_generic_plan`)
	for _, name := range names {
		text := texts[name]
		if !strings.Contains(text, "SELECT") && !strings.Contains(text, "UPDATE") && !strings.Contains(text, "DELETE") {
			continue
		}
		run(`BEGIN`)
		for prefix, before := range map[string]string{"claim": "claimTurn", "list": "inOrder"} { // as the store does
			if strings.HasPrefix(name, prefix) {
				run(strings.ReplaceAll(texts[before], "$1::bigint", "1"))
			}
		}
		n := 0
		for strings.Contains(text, fmt.Sprintf("$%d", n+1)) {
			n++
		}
		args := ""
		if n > 0 {
			args = "(" + strings.TrimSuffix(strings.Repeat("NULL, ", n), ", ") + ")"
		}
		run(`PREPARE x AS ` + text)
		plan := strings.Join(run(`EXPLAIN (COSTS OFF) EXECUTE x`+args), "\n")
		run(`DEALLOCATE x`)
		run(`ROLLBACK`)
		if whole.MatchString(plan) {
			t.Errorf("%s reads a whole table:\n%s", name, plan)
		}
	}
}
