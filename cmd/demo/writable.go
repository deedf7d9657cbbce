package main

import (
	"context"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

const (
	// writableEvery is how often the database is asked whether it can be written to; each answer costs a sync of the disk.
	writableEvery = 2 * time.Second
	// writablePatience is how many times in a row it may say no. A disk that is full for a moment is no reason to stop.
	writablePatience = 3
)

// whileWritable gives a context that ends also when the database cannot be written to any more, with the reason as its
// cause: the runner would try for as long as it lives, and whoever waits for a command wants to be told.
func whileWritable(ctx context.Context, db store.Store, where storeURL) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		ticker := time.NewTicker(writableEvery)
		defer ticker.Stop()
		for failures := 0; failures < writablePatience; {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			err := db.Ping(ctx)
			failures++
			switch {
			case err == nil:
				failures = 0
			case failures == writablePatience && ctx.Err() == nil:
				cancel(databaseError(ctx, where, err))
			}
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-gone
	}
}
