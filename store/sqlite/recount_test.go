package sqlite_test

import (
	"fmt"
	"testing"

	"github.com/taskrunner-go/taskrunner/store"
)

// TestRecount changes the numbers by hand: the tasks are listed all the same when the file is opened again, and no number is given twice.
func TestRecount(t *testing.T) {
	for _, change := range []string{
		"DELETE FROM taskrunner_counts",
		"UPDATE taskrunner_counts SET tasks = -50",
		"UPDATE taskrunner_counts SET tasks = tasks + 7",
		"UPDATE taskrunner_meta SET seq = 0, pos = 0",
		"UPDATE taskrunner_meta SET pos = 1",
		"UPDATE taskrunner_meta SET seq = 1",
	} {
		t.Run(change, func(t *testing.T) {
			path := tempFile(t)
			s := open(t, path)
			tasks := begin(t, s, 5)
			for _, task := range tasks[:4] {
				end(t, s, task, store.Completed)
			}
			waits := insertOne(t, s, nil)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			raw(t, path, change)
			s = open(t, path)
			countsAreTrue(t, s)
			counts, err := s.Counts(t.Context(), "")
			if want := (map[store.State]int64{store.Completed: 4, store.Running: 1, store.Available: 1}); err != nil || fmt.Sprint(counts) != fmt.Sprint(want) {
				t.Errorf("counts are %v, %v, want %v", counts, err, want)
			}
			end(t, s, tasks[4], store.Completed)
			after := insertOne(t, s, nil)
			if a, b := get(t, s, waits), get(t, s, after); a.Seq >= b.Seq {
				t.Errorf("the task that was inserted later has Seq %d, the other %d", b.Seq, a.Seq)
			}
			got, err := s.Outcomes(t.Context(), store.OutcomeQuery{})
			if err != nil || len(got.Tasks) != 5 || got.Tasks[4].ID != tasks[4].ID {
				t.Errorf("the outcomes are %v, %v", got, err)
			}
			countsAreTrue(t, s)
		})
	}
}
