package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"slices"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// Prune implements store.Controller. It goes along the order of outcomes, for each state up to the first one that is kept: one
// behind that which says that it ended earlier, because a clock was set back, goes when that one does. It remembers how far
// it came, so that to ask often costs nothing; the first time after Open it passes over what is kept of other runners at some
// three million a second, as a reader. Deleting is the writer's, at some 4 µs each, a thousand in one transaction. What a subscriber
// keeps is not looked at: the least of the cursors bounds the search, and is read once for each search and each transaction.
//
// The file does not shrink below what it will need again: free pages go back to the system a few at a time, while they are more
// than a quarter of it. A file of a version that did not know this stays as large as it is.
func (s *Store) Prune(ctx context.Context, expiry store.Expiry) (deleted int, err error) {
	if err := expiry.Validate(); err != nil {
		return 0, err
	}
	old, err := s.findOld(ctx, expiry)
	if err != nil {
		return 0, err
	}
	for part := range slices.Chunk(old, pruneRows) {
		n, err := s.delete(ctx, expiry, part)
		if err != nil {
			return deleted, err
		}
		deleted += n
	}
	return deleted, nil
}

const (
	// pruneRows is how many outcomes go in one transaction, which others wait for: 5 ms.
	pruneRows = 1000
	// keptPages: one page in so many may be free before some are given back, 256 at once, which takes 2 ms; see giveBackPages.
	keptPages = 4
)

// places are where to go on looking for old outcomes: all before are deleted, or of another runner or state.
type places struct {
	mu sync.Mutex
	at map[place]int64
}

type place struct {
	runner string
	state  store.State
}

func (p *places) get(at place) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at[at]
}

func (p *places) set(at place, pos int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[place]int64{}
	}
	p.at[at] = pos
}

// findOld gives the positions of the first outcomes that have expired.
func (s *Store) findOld(ctx context.Context, expiry store.Expiry) (old []int64, err error) {
	var kinds filter
	var end int64
	err = s.read(ctx, func(v view) { kinds, end = v.filter(expiry.Runner, ""), v.pos }, func(c *conn) error {
		acknowledged, err := c.acknowledged(expiry)
		if err != nil {
			return err
		}
		end = min(end, acknowledged)
		for _, state := range [...]store.State{store.Completed, store.Cancelled, store.Discarded} {
			before := expiry.Before(state)
			if before.IsZero() {
				continue
			}
			from := s.places.get(place{expiry.Runner, state})
			found, stopped, err := c.findOld(ctx, kinds, state, from, end, before, expiry.Size())
			if err != nil {
				return err
			}
			old = append(old, found...)
			s.places.set(place{expiry.Runner, state}, cmp.Or(stopped, max(from, end+1)))
		}
		return nil
	})
	slices.Sort(old)
	return old[:min(len(old), expiry.Size())], err
}

// findOld gives the positions from a place on, up to the end, of outcomes in a state that have expired, and the place to go on from the
// next time: zero if all up to the end was passed over.
func (c *conn) findOld(
	ctx context.Context, kinds filter, state store.State, from, end int64, before time.Time, limit int,
) (old []int64, stopped int64, err error) {
	text := selectOldRare
	if state == store.Completed {
		text = selectOldCompleted
	}
	err = c.query(ctx, text, func(row []driver.Value) error {
		c := columns{row: row}
		pos, finished := next[int64](&c), c.time()
		if c.err != nil {
			return c.err
		}
		if len(old) == limit || !finished.Before(before) {
			stopped = pos
			return errStop
		}
		old = append(old, pos)
		return nil
	}, kinds.value(), stateCode(state), from, end)
	if len(old) > 0 { // they are there until they are deleted
		stopped = old[0]
	}
	return old, stopped, err
}

// delete deletes those of the outcomes that are there still.
func (s *Store) delete(ctx context.Context, expiry store.Expiry, positions []int64) (deleted int, err error) {
	err = s.write(ctx, len(positions), func(x *tx) (err error) {
		deleted, err = x.pruneAcknowledged(expiry, positions)
		return err
	})
	if err != nil {
		return 0, err
	}
	return deleted, nil
}

// pruneAcknowledged asks the subscribers once more: one may have come since the positions, which are in order, were found.
func (x *tx) pruneAcknowledged(expiry store.Expiry, positions []int64) (deleted int, err error) {
	acknowledged, err := x.acknowledged(expiry)
	if err != nil {
		return 0, err
	}
	var keys []driver.Value
	for _, pos := range positions {
		if pos <= acknowledged {
			keys = append(keys, pos)
		}
	}
	if len(keys) == 0 {
		return 0, nil
	}
	return x.prune(expiry.Runner, keys, positions[len(keys)-1])
}

// prune deletes outcomes. A bundle in which one of them may have left something goes first: after a crash, an entry without an
// outcome would be a task that runs.
func (x *tx) prune(runner string, positions []driver.Value, last int64) (deleted int, err error) {
	if err := x.unbundle(func(b *bundle, _ int) bool { return b.pos < last }); err != nil {
		return 0, err
	}
	gone, newest := make([]driver.Value, 0, len(positions)), int64(0) // tasks
	err = x.lookUpAll(context.Background(), prunedByPos, positions, func(row []driver.Value) error {
		c := columns{row: row}
		pos, id, kind, state, superseded := next[int64](&c), next[[]byte](&c), next[int64](&c), c.state(), next[int64](&c) != 0
		deleted++
		newest = max(newest, pos)
		if !superseded {
			x.move(kind, state, "")
			gone = append(gone, id)
		}
		return c.err
	})
	if err != nil || deleted == 0 {
		return 0, err
	}
	if err := x.writeAll(deleteFinished, positions); err != nil {
		return 0, err
	}
	if err := x.writeAll(deleteHistory, gone); err != nil {
		return 0, err
	}
	if err := x.write(updatePruned, runner, newest); err != nil {
		return 0, err
	}
	return deleted, x.giveBack()
}

func (x *tx) writeAll(k keyed, keys []driver.Value) error {
	for text, part := range k.parts(keys) {
		if err := x.write(text, part...); err != nil {
			return err
		}
	}
	return nil
}

// giveBack makes the file smaller by some pages if there are many more than it needs. It does nothing to a file without
// PRAGMA auto_vacuum.
func (x *tx) giveBack() error {
	free, err := x.number(`PRAGMA freelist_count`)
	if err != nil {
		return err
	}
	pages, err := x.number(`PRAGMA page_count`)
	if err != nil || free*keptPages <= pages {
		return err
	}
	return x.write(giveBackPages)
}
