package main

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// skewed is a store as a process has it whose wall clock is wrong. The offset is added to every time that the store is given, and
// taken from the one that the process acts on. Go reads the wall clock where no library can stand in between, so this is as near
// to it as one gets from outside.
type skewed struct {
	store.Store
	offset atomic.Int64 // a time.Duration
}

func (s *skewed) skew() time.Duration { return time.Duration(s.offset.Load()) }

// moved is a time of the process as the store is given it. Zero has a meaning of its own.
func moved(t time.Time, by time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(by)
}

// Insert implements store.Inserter.
func (s *skewed) Insert(ctx context.Context, now time.Time, tasks []store.NewTask) ([]store.Inserted, error) {
	by := s.skew()
	tasks = slices.Clone(tasks)
	for i := range tasks {
		tasks[i].ScheduledAt = moved(tasks[i].ScheduledAt, by)
	}
	return s.Store.Insert(ctx, now.Add(by), tasks)
}

// Claim implements store.Worker.
func (s *skewed) Claim(ctx context.Context, now time.Time, claim store.Claim) (store.Claimed, error) {
	by := s.skew()
	claimed, err := s.Store.Claim(ctx, now.Add(by), claim)
	claimed.Next = moved(claimed.Next, -by)
	return claimed, err
}

// Finish implements store.Worker.
func (s *skewed) Finish(ctx context.Context, outcomes []store.Outcome) ([]error, error) {
	by := s.skew()
	outcomes = slices.Clone(outcomes)
	for i := range outcomes {
		outcomes[i].ScheduledAt, outcomes[i].FinishedAt = moved(outcomes[i].ScheduledAt, by), moved(outcomes[i].FinishedAt, by)
	}
	return s.Store.Finish(ctx, outcomes)
}

// Recover implements store.Worker.
func (s *skewed) Recover(ctx context.Context, now time.Time, runner string) (int, error) {
	return s.Store.Recover(ctx, now.Add(s.skew()), runner)
}

// Cancel implements store.Controller.
func (s *skewed) Cancel(ctx context.Context, now time.Time, id string) (store.Moved, error) {
	return s.Store.Cancel(ctx, now.Add(s.skew()), id)
}

// Retry implements store.Controller.
func (s *skewed) Retry(ctx context.Context, now time.Time, id string) (store.Moved, error) {
	return s.Store.Retry(ctx, now.Add(s.skew()), id)
}
