package sqlite_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/store"
)

// TestDamagedTask: a task that cannot be read is named, and does not keep others from being claimed.
func TestDamagedTask(t *testing.T) {
	path := tempFile(t)
	s := open(t, path)
	bad, good := insertOne(t, s, nil), insertOne(t, s, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw(t, path, "UPDATE taskrunner_tasks SET body = x'00' WHERE seq = 1")
	s = open(t, path)
	_, err := claimNext(t, s)
	if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "seq 1") {
		t.Errorf("the first claim gives %v, want the name of the task", err)
	}
	claimed, err := claimNext(t, s)
	if err != nil || len(claimed.Tasks) != 1 || claimed.Tasks[0].ID != good || !claimed.Next.IsZero() {
		t.Errorf("the second claim gives %+v, %v, want task %s", claimed, err, good)
	}
	if _, err := s.Get(t.Context(), bad); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), bad) {
		t.Errorf("Get gives %v", err)
	}
}

func claimNext(t *testing.T, s store.Store) (store.Claimed, error) {
	t.Helper()
	task := benchTasks(0, 1, "")[0]
	return s.Claim(t.Context(), benchTime, store.Claim{Runner: task.Runner, Node: "node-1", Kinds: []string{task.Kind}, Limit: 1})
}
