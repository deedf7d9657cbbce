package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// fullStore has no room, from one time to another.
type fullStore struct {
	store.Store
	from, to time.Time
}

func (f fullStore) Ping(context.Context) error {
	if now := time.Now(); now.Before(f.from) || !now.Before(f.to) {
		return nil
	}
	return store.ErrFull
}

// A disk that is full for a moment is borne; one that stays so ends the command, with its code.
func TestWhileWritable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		full time.Duration
		code int
	}{{0, exitOK}, {writableEvery, exitOK}, {time.Hour, exitDatabase}} {
		synctest.Test(t, func(t *testing.T) {
			from := time.Now().Add(time.Minute)
			ctx, stop := whileWritable(t.Context(), fullStore{from: from, to: from.Add(test.full)}, storeURL{file: "tasks.db"})
			defer stop()
			time.Sleep(10 * time.Minute)
			if got := codeOf(context.Cause(ctx)); got != test.code {
				t.Errorf("full for %s: code %d, want %d (%v)", test.full, got, test.code, context.Cause(ctx))
			}
			stop()
			if err := context.Cause(ctx); test.code == exitOK && !errors.Is(err, context.Canceled) {
				t.Errorf("stopped: %v", err)
			}
		})
	}
}
