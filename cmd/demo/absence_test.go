package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/remote"
)

func TestAbsenceIsToldOnce(t *testing.T) {
	t.Parallel()
	up := []remote.Node{{Address: "a:1", Err: errors.New("refused")}, {Address: "b:1", Up: true}}
	down := []remote.Node{{Address: "a:1", Err: errors.New("refused\x1b[2J")}, {Address: "b:1", Err: errors.New("expired")}}
	begin := time.Unix(0, 0)
	a := absence{away: time.Minute, since: begin}
	for _, step := range []struct {
		after time.Duration
		nodes []remote.Node
		want  string // empty: nothing is told
	}{
		{absenceAfter - 1, down, ""},
		{absenceAfter, nil, ""}, // no reason yet
		{absenceAfter, down, "--away 1m0s): a:1: refused\uFFFD[2J; b:1: expired\n"},
		{time.Hour, down, ""},
		{time.Hour, up, "a worker is reached\n"},
		{time.Hour, up, ""},
		{2 * time.Hour, down, ""},
		{2 * time.Hour, up, ""}, // it was gone for a moment only
		{3 * time.Hour, down, ""},
		{3*time.Hour + absenceAfter, down, "expired\n"},
	} {
		if got := a.look(begin.Add(step.after), step.nodes); (got == "") != (step.want == "") || !strings.HasSuffix(got, step.want) {
			t.Errorf("after %s: %q, want %q", step.after, got, step.want)
		}
	}
}
