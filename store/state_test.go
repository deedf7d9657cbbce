package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/taskrunner-go/taskrunner/store"
)

// TestMoves writes the table down a second time, as a person reads it.
func TestMoves(t *testing.T) {
	table := map[store.State]string{
		store.Scheduled: "available running cancelled",
		store.Available: "running cancelled",
		store.Running:   "completed retryable cancelled discarded available scheduled",
		store.Retryable: "available running cancelled",
		store.Completed: "available",
		store.Cancelled: "available",
		store.Discarded: "available",
	}
	if len(table) != len(store.States) {
		t.Fatalf("%d states", len(store.States))
	}
	for _, from := range store.States {
		for _, to := range store.States {
			want := strings.Contains(" "+table[from]+" ", " "+string(to)+" ")
			if store.CanMove(from, to) != want {
				t.Errorf("%s to %s: got %v", from, to, !want)
			}
		}
	}
}

func TestStateKinds(t *testing.T) {
	for _, s := range store.States {
		if !s.Valid() {
			t.Errorf("%s is not valid", s)
		}
		kinds := 0
		for _, is := range []bool{s.Waiting(), s.Final(), s == store.Running} {
			if is {
				kinds++
			}
		}
		if kinds != 1 {
			t.Errorf("%s is %d of waiting, running and final", s, kinds)
		}
	}
	for _, s := range []store.State{"", "paused", "Running"} {
		if s.Valid() || s.Final() || s.Waiting() || store.CanMove(s, store.Available) || store.CanMove(store.Running, s) {
			t.Errorf("%q passes for a state", s)
		}
	}
}

func TestStateError(t *testing.T) {
	var err error = &store.StateError{TaskID: "7", From: store.Completed, To: store.Cancelled}
	if got := err.Error(); got != "store: task 7 is completed and cannot become cancelled" {
		t.Error(got)
	}
	if _, ok := errors.AsType[*store.StateError](err); !ok {
		t.Error("no *StateError")
	}
}
