package sqlite_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/store/sqlite"
)

// planOf gives the steps by which SQLite runs a statement.
func planOf(t *testing.T, db *sql.DB, text string) (plan []string) {
	t.Helper()
	rows, err := db.Query("EXPLAIN QUERY PLAN "+text, make([]any, strings.Count(text, "?"))...)
	if err != nil {
		t.Fatal(text, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestPlansUseIndices(t *testing.T) {
	path, _ := filled(t)
	db := rawDB(t, path)
	var statistics int
	if err := db.QueryRow(`SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlite_stat%'`).Scan(&statistics); err != nil || statistics != 0 {
		t.Fatalf("the plans must not need statistics, there are %d: %v", statistics, err)
	}
	sorted := map[string]bool{ // what sorts, and why that is bounded
		"histories one": true, "histories many": true, // by what is kept of a task's history
		"selectRunningPage": true, // by the number of running tasks
		"selectCounts":      true, // by the number of states
	}
	scanned := map[string]string{ // what is read whole
		"SCAN t USING INDEX taskrunner_tasks_running": "selectRunningPage", // that holds only running ones
		"SCAN taskrunner_counts":                      "selectCounts",
	}
	for name, text := range sqlite.Statements() {
		plan := planOf(t, db, text)
		for _, step := range plan {
			switch {
			case scanned[step] == name:
			case strings.HasPrefix(step, "SCAN") && (strings.Contains(step, "wanted") || strings.Contains(step, "CONSTANT")):
			case strings.HasPrefix(step, "SCAN json_each"): // a value that is a list
			case strings.HasPrefix(step, "SCAN"):
				t.Errorf("%s scans: %v", name, plan)
			case strings.Contains(step, "TEMP B-TREE") && !sorted[name]:
				t.Errorf("%s sorts: %v", name, plan)
			}
		}
		if joined := fmt.Sprint(plan); !strings.Contains(joined, "SEARCH") && scanned[plan[0]] != name {
			t.Errorf("%s looks nothing up: %v", name, plan)
		}
	}
}
