package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/bench/internal/figures"
	"github.com/taskrunner-go/taskrunner/store"
)

var keptRows = flag.String("kept", "", "TestFlat compares what a task costs beside so many finished ones: the fewest first, with commas between")

// flatTasks is how many tasks a round of TestFlat has, flatBound how many times as much they may cost.
const (
	flatTasks = 50_000
	flatBound = 1.2
	manyTasks = 10 * flatTasks // a store with more is not filled anew for each round
)

// TestFlat measures what a task costs while few finished tasks are kept and while many are, in turns.
func TestFlat(t *testing.T) {
	if *keptRows == "" || *rounds <= 0 {
		t.Skip("run by make bench-flat")
	}
	var sizes []int
	for size := range strings.SplitSeq(*keptRows, ",") {
		n, err := strconv.Atoi(size)
		must(t, err)
		sizes = append(sizes, n)
	}
	s := newSite(t)
	var text strings.Builder
	fmt.Fprintf(&text, "Measured on %s: the medians of %d rounds, each of %s tasks, handed over by RunMany in thousands with %d bytes of arguments.\n\n"+
		"| on | finished tasks before | tasks/s | of the first |\n|---|---:|---:|---:|\n",
		time.Now().UTC().Format(time.DateOnly), *rounds, figures.Thousands(flatTasks), argsBytes)
	for _, engine := range []struct {
		name engine
		open openStore
	}{{onSQLite, oursOnSQLite}, {onPostgres, oursOnPostgres}} {
		rates := flatRates(t, s, engine.open, sizes)
		for i, size := range sizes {
			ratio := figures.Percentile(rates[0], 0.5) / figures.Percentile(rates[i], 0.5)
			fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", engine.name, figures.Thousands(float64(size)),
				figures.Thousands(figures.Percentile(rates[i], 0.5)), figures.Times(1/ratio))
			if ratio > flatBound || ratio < 1/flatBound {
				t.Errorf("%s: beside %d finished tasks a task costs %.2f times what it costs beside %d, want at most %.1f times",
					engine.name, size, ratio, sizes[0], flatBound)
			}
		}
	}
	t.Logf("\n%s", text.String())
	if *write != "" {
		must(t, figures.WriteBetween(*write, "flat", text.String()))
	}
}

// flatRates gives the tasks per second beside so many finished ones, of each round.
func flatRates(t *testing.T, s *site, open openStore, sizes []int) [][]float64 {
	rates := make([][]float64, len(sizes))
	filled := make([]openStore, len(sizes))
	for i, size := range sizes {
		filled[i] = fillEach(open, size)
		if size > manyTasks {
			filled[i] = fillOnce(t, s, open, size)
		}
	}
	for round := range *rounds {
		for i, size := range sizes {
			rate := flatRate(t, s, filled[i])
			rates[i] = append(rates[i], rate)
			t.Logf("round %d: %s tasks/s beside %s finished ones", round+1, figures.Thousands(rate), figures.Thousands(float64(size)))
		}
	}
	return rates
}

func flatRate(t *testing.T, s *site, open openStore) float64 {
	inside := *s
	inside.dir = t.TempDir()
	q, err := openOurs(open)(t.Context(), &inside, flatTasks)
	must(t, err)
	took, err := load{callers: 1, batch: 1000, tasks: flatTasks}.time(t.Context(), q)
	must(t, errors.Join(err, q.close(t.Context())))
	return flatTasks / took.Seconds()
}

// fillEach opens a new store for each round, and fills it.
func fillEach(open openStore, size int) openStore {
	return func(ctx context.Context, s *site) (store.Store, func() error, error) {
		db, remove, err := open(ctx, s)
		if err == nil {
			err = fill(ctx, db, size)
		}
		return db, remove, err
	}
}

// fillOnce opens a store, fills it, and lends it for each round, until the test ends: to those many tasks, what the rounds add is little.
func fillOnce(t *testing.T, s *site, open openStore, size int) openStore {
	inside := *s
	inside.dir = t.TempDir()
	db, remove, err := open(t.Context(), &inside)
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(db.Close(), remove())) })
	must(t, fill(t.Context(), db, size))
	return func(context.Context, *site) (store.Store, func() error, error) {
		return lent{db}, func() error { return nil }, nil
	}
}

// lent is a store that those who use it do not close.
type lent struct{ store.Store }

func (lent) Close() error { return nil }

// fill has so many tasks recorded as completed, as a runner does.
func fill(ctx context.Context, db store.Store, size int) error {
	const batch, node = 2000, "filler"
	for left := size; left > 0; left -= batch {
		tasks := make([]store.NewTask, min(batch, left))
		for i := range tasks {
			tasks[i] = store.NewTask{
				ID: uuid.Must(uuid.NewV7()).String(), Fresh: true, Runner: "bench", Kind: noopKind, Args: noopBytes(), MaxAttempts: 25, Node: node,
			}
		}
		inserted, err := db.Insert(ctx, time.Now(), tasks)
		if err != nil {
			return err
		}
		outcomes := make([]store.Outcome, len(inserted))
		for i, t := range inserted {
			outcomes[i] = store.Outcome{TaskID: t.ID, Run: t.Run, To: store.Completed, Result: []byte("{}"), FinishedAt: time.Now()}
		}
		refused, err := db.Finish(ctx, outcomes)
		if err = errors.Join(append(refused, err)...); err != nil {
			return err
		}
	}
	return nil
}
