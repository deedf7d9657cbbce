package main

import (
	"context"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/store"
)

// lookShare is the share of the time that asking the database how far the running moves are may take: one in so many. A
// store in memory goes through all its tasks for the answer.
const lookShare = 20

// looker finds out how far followed moves have come. It is used from one goroutine.
type looker struct {
	db       store.Reader
	runner   string
	follower *follower

	next     time.Time // when the database is asked again
	running  float64   // what it said: the sum of the fractions of the running moves,
	retrying int       // and how many wait to be tried again
}

func newLooker(s *service, f *follower) *looker {
	return &looker{db: s.db, runner: s.runner.Name(), follower: f}
}

// look gives the status when there are so many moves.
func (l *looker) look(total int) status {
	if now := time.Now(); !now.Before(l.next) {
		l.ask()
		l.next = now.Add(max(actors.ProgressInterval, lookShare*time.Since(now)))
	}
	t := l.follower.now()
	return status{ended: t.ended(), failed: t.discarded, bytes: t.bytes, running: l.running, retrying: l.retrying, total: total}
}

// ask asks the database. Without an answer the bar is a little behind.
func (l *looker) ask() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	running, err := l.db.List(ctx, store.Query{Runner: l.runner, States: []store.State{store.Running}, Limit: store.MaxList})
	if err != nil {
		return
	}
	l.running = 0
	for _, task := range running {
		l.running += task.Progress
	}
	if counts, err := l.db.Counts(ctx, l.runner); err == nil {
		l.retrying = int(counts[store.Retryable])
	}
}
