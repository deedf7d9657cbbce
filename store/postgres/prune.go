package postgres

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/taskrunner-go/taskrunner/store"
)

const (
	// pruneWindow is how many outcomes one call of Prune looks through for those that have expired: if that many in a row are kept,
	// those behind them wait until the ones before them have expired too.
	pruneWindow = 20_000
	// pruneRows is how many outcomes are deleted in one transaction.
	pruneRows = 1000
)

// Prune implements store.Controller. It looks through at most 20,000 outcomes that are kept: outcomes are deleted in their order, and
// one whose FinishedAt is much before those of its neighbours may be deleted late. What a subscriber keeps is not looked at: the least of
// the cursors bounds the search, and is read once for each statement.
func (s *Store) Prune(ctx context.Context, expiry store.Expiry) (deleted int, err error) {
	if err := expiry.Validate(); err != nil {
		return 0, err
	}
	err = s.callJoined(ctx, "pruning", func(ctx context.Context) error {
		for deleted < expiry.Size() {
			n, more, err := s.pruneSome(ctx, expiry, min(expiry.Size()-deleted, pruneRows))
			deleted += n
			if err != nil || !more {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return deleted, nil
}

// aged is an outcome that has expired.
type aged struct{ pos, seq int64 }

// pruneSome deletes the first outcomes that have expired, and reports whether there may be more.
func (s *Store) pruneSome(ctx context.Context, expiry store.Expiry, limit int) (deleted int, more bool, err error) {
	var old []aged
	for failed := range 2 {
		some, err := s.findOld(ctx, expiry, failed == 1, limit)
		if err != nil {
			return 0, false, err
		}
		old = append(old, some...)
	}
	slices.SortFunc(old, func(a, b aged) int { return cmp.Compare(a.pos, b.pos) })
	old = old[:min(len(old), limit)]
	if len(old) == 0 {
		return 0, false, nil
	}
	if err := s.unbundleBlocks(ctx, old); err != nil {
		return 0, false, err
	}
	deleted, err = s.deleteOld(ctx, expiry, old)
	return deleted, len(old) == limit, err
}

// findOld gives the first outcomes that have expired, of those that completed or of the others, and remembers up to where there are
// none of them any more.
func (s *Store) findOld(ctx context.Context, expiry store.Expiry, failed bool, limit int) (old []aged, err error) {
	statement, args := s.sql.expiredCompleted, [][]byte{moment(expiry.Before(store.Completed))}
	if failed {
		statement, args = s.sql.expiredFailed, [][]byte{moment(expiry.Before(store.Cancelled)), moment(expiry.Before(store.Discarded))}
	}
	if !slices.ContainsFunc(args, func(arg []byte) bool { return arg != nil }) {
		return nil, nil
	}
	where := pruneKey{expiry.Runner, failed}
	var kept, looked int64
	for _, window := range [...]int{2 * limit, pruneWindow} { // most often all that is first has expired
		call := append([][]byte{text(expiry.Runner), bigint(s.pruned.from(where)), int4(window), int4(limit), seenSince(expiry)}, args...)
		err = s.persist(ctx, lent{s}, func(ctx context.Context, l *link) error {
			old = nil
			return l.run(ctx, statement.with(call...).each(func(c *columns) {
				kept, looked = c.optional(), c.optional()
				if pos := c.optional(); pos > 0 {
					old = append(old, aged{pos: pos, seq: c.int64()})
				}
			}))
		})
		if err != nil || len(old) == limit {
			break
		}
	}
	switch {
	case err != nil:
		return nil, err
	case len(old) > 0:
		looked = old[0].pos - 1
	case kept > 0:
		looked = kept - 1
	}
	if kept > 0 {
		looked = min(looked, kept-1)
	}
	s.pruned.advance(where, looked)
	return old, nil
}

// unbundleBlocks makes sure that no outcome is deleted whose task is still in a bundle: it would come to life again.
func (s *Store) unbundleBlocks(ctx context.Context, old []aged) error {
	blocks := make([]int64, len(old))
	for i := range old {
		blocks[i] = old[i].seq / blockSize
	}
	blocks = slices.Compact(slices.Sorted(slices.Values(blocks)))
	var bundles []uuid
	err := s.persist(ctx, lent{s}, func(ctx context.Context, l *link) error {
		bundles = nil
		return l.run(ctx, s.sql.liveBlocks.with(int8s(blocks...)).each(func(c *columns) { bundles = append(bundles, c.uuid()) }))
	})
	if err == nil {
		_, err = s.unbundle(ctx, lent{s}, bundles...)
	}
	return err
}

// seenSince is since when a subscriber must have been seen to keep something.
func seenSince(expiry store.Expiry) []byte { return moment(store.Micro(expiry.Subscribers)) }

// deleteOld deletes what no subscriber keeps, and notes up to where it did.
func (s *Store) deleteOld(ctx context.Context, expiry store.Expiry, old []aged) (deleted int, err error) {
	positions := make([]int64, len(old))
	for i := range old {
		positions[i] = old[i].pos
	}
	err = s.persist(ctx, lent{s}, func(ctx context.Context, l *link) error {
		return l.run(ctx,
			s.sql.pruneTurn.with(text(expiry.Runner)),
			s.sql.deleteOutcomes.with(text(expiry.Runner), int8s(positions...), seenSince(expiry)).each(func(c *columns) { deleted = int(c.int64()) }))
	})
	return deleted, err
}

// pruneKey is one runner's outcomes: those that completed, or the others.
type pruneKey struct {
	runner string
	failed bool
}

// pruned remembers up to where there are no such outcomes any more, so that Prune does not look through all that is kept of others,
// again and again. New ones stand behind all others.
type pruned struct {
	mu   sync.Mutex
	upTo map[pruneKey]int64
}

func (p *pruned) from(key pruneKey) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.upTo[key]
}

func (p *pruned) advance(key pruneKey, pos int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.upTo == nil {
		p.upTo = map[pruneKey]int64{}
	}
	p.upTo[key] = max(p.upTo[key], pos)
}
