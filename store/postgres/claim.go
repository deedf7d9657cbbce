package postgres

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// maxClaim is how many tasks one claim gives at most, whatever it asks for.
const maxClaim = 1000

// Claim implements store.Worker. It gives at most 1000 tasks. A claim whose answer is lost is repeated, and answers what it took the
// first time. If the caller no longer waits, what was taken is given back.
//
// While others claim the same tasks, it may find none, although some are left that are due; then Next is now.
func (s *Store) Claim(ctx context.Context, now time.Time, claim store.Claim) (claimed store.Claimed, err error) {
	if err := errors.Join(store.ValidTime("now", now), claim.Validate()); err != nil {
		return claimed, err
	}
	err = s.callJoined(ctx, "claiming", func(ctx context.Context) error {
		s.kinds.learn(claim.Runner, claim.Kinds)
		if err := s.leases.await(ctx, claim.Runner, claim.Node); err != nil {
			return s.given(ctx, nil)
		}
		for try := 0; ; try++ {
			claimed, err = s.claim(ctx, now, claim)
			if err != nil || try == claimTries || !contended(claimed, claim, now) {
				return err
			}
			pause(ctx, claimWait/2+rand.N(claimWait))
		}
	})
	if err != nil {
		return store.Claimed{}, err
	}
	return claimed, nil
}

// How often a claim looks again that found only tasks which others were claiming, and about how long it waits before.
const (
	claimTries = 3
	claimWait  = time.Millisecond
)

// contended reports whether there are tasks that are due, and others are claiming all of them.
func contended(claimed store.Claimed, claim store.Claim, now time.Time) bool {
	return len(claimed.Tasks) == 0 && claim.Limit > 0 && claimed.Next.Equal(store.Micro(now))
}

func (s *Store) claim(ctx context.Context, now time.Time, claim store.Claim) (claimed store.Claimed, err error) {
	token := newClaim()
	kinds := slices.Compact(slices.Sorted(slices.Values(claim.Kinds)))
	first := true
	err = s.persist(ctx, lent{s}, func(ctx context.Context, l *link) error {
		claimed = store.Claimed{}
		take := func(c *columns) {
			r := s.sql.scan(c)
			claimed.Tasks = append(claimed.Tasks, r.Task)
		}
		calls := []call{
			s.sql.claimTurn.with(bigint(token)),
			s.sql.claim.with(text(claim.Runner), text(claim.Node), moment(store.Micro(now)), texts(kinds...), int4(min(claim.Limit, maxClaim)), bigint(token)),
			s.sql.claimNext.with(text(claim.Runner), texts(kinds...)).each(func(c *columns) { claimed.Next = nextDue(c, store.Micro(now)) }),
		}
		if first {
			calls[1] = calls[1].each(take)
		} else {
			calls = append(calls, s.sql.claimedBy.with(text(claim.Runner), text(claim.Node), bigint(token)).each(take))
		}
		first = false
		return l.run(ctx, calls...)
	})
	if err != nil {
		s.lostClaims.add(lostClaim{runner: claim.Runner, node: claim.Node, token: token, at: time.Now()})
		return store.Claimed{}, err
	}
	slices.SortFunc(claimed.Tasks, func(a, b store.Task) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.ScheduledAt.Compare(b.ScheduledAt), cmp.Compare(a.Seq, b.Seq))
	})
	return claimed, nil
}

// nextDue is now if a task is due, and else when the first one will be.
func nextDue(c *columns, now time.Time) time.Time {
	ready, later := c.bool(), c.time()
	if ready || !later.IsZero() && later.Before(now) {
		return now
	}
	return later
}

// lostClaim is a claim of which it is not known whether it was done.
type lostClaim struct {
	runner, node string
	token        int64
	at           time.Time
}

// lostClaims are looked for from time to time.
type lostClaims struct {
	mu     sync.Mutex
	claims []lostClaim
}

func (l *lostClaims) add(c lostClaim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claims = append(l.claims, c)
}

// recent gives those that may still be done.
func (l *lostClaims) recent(now time.Time) []lostClaim {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claims = slices.DeleteFunc(l.claims, func(c lostClaim) bool { return now.Sub(c.at) > lostFor })
	return slices.Clone(l.claims)
}

// unclaimLost gives back what was taken by claims whose answers nobody has got.
func (s *Store) unclaimLost(ctx context.Context) {
	for _, claim := range s.lostClaims.recent(time.Now()) {
		var taken []store.Task
		err := s.persist(ctx, lent{s}, func(ctx context.Context, l *link) error {
			taken = nil
			return l.run(ctx, s.sql.claimedBy.with(text(claim.runner), text(claim.node), bigint(claim.token)).each(func(c *columns) {
				r := s.sql.scan(c)
				taken = append(taken, r.Task)
			}))
		})
		if err != nil {
			return
		}
		for i := range taken {
			s.returns.add(taken[i].ID, taken[i].Run)
		}
	}
}

// Report implements store.Worker. A task that another transaction has locked at the moment is passed over: the next report comes.
func (s *Store) Report(ctx context.Context, progress []store.Progress) error {
	var invalid []error
	valid := make([]store.Progress, 0, len(progress))
	for _, p := range progress {
		if err := p.Validate(); err != nil {
			invalid = append(invalid, err)
			continue
		}
		valid = append(valid, p)
	}
	err := s.callJoined(ctx, "reporting", func(ctx context.Context) error { return s.report(ctx, valid) })
	return errors.Join(append(invalid, err)...)
}

// report records the last progress of each run. A task that tells of its progress is no longer young.
func (s *Store) report(ctx context.Context, progress []store.Progress) error {
	if len(progress) == 0 {
		return nil
	}
	last := map[store.RunID]float64{}
	var runs []store.RunID
	for _, p := range progress {
		run := store.RunID{TaskID: p.TaskID, Run: p.Run}
		if _, again := last[run]; !again {
			runs = append(runs, run)
		}
		last[run] = p.Fraction
	}
	ids, numbers, fractions := newArray(oidUUID, len(runs), 16), newArray(oidInt8, len(runs), 8), newArray(oidFloat8, len(runs), 8)
	var young []uuid
	for _, run := range runs {
		id := parseID(run.TaskID)
		young = append(young, id)
		ids.bytes(id[:])
		numbers.int64(run.Run)
		fractions.float64(last[run])
	}
	if err := s.growUp(ctx, young...); err != nil {
		return err
	}
	args := [][]byte{ids.value(), numbers.value(), fractions.value()}
	return s.persist(ctx, lent{s}, func(ctx context.Context, l *link) error { return l.run(ctx, s.sql.report.with(args...)) })
}

// growUp makes rows of tasks of those that are young here. In bundles of other handles there may be tasks too; they are none of ours.
func (s *Store) growUp(ctx context.Context, ids ...uuid) error {
	var items []leaver
	for _, id := range ids {
		if _, young := s.young.find(id); young {
			items = append(items, leaver{id: id})
		}
	}
	if len(items) == 0 {
		return nil
	}
	return s.leaveYoung(ctx, items, nil)
}

// kinds remembers which kinds the runners claim, for polling.
type kinds struct {
	mu sync.Mutex
	of map[string][]string // by runner
}

func (k *kinds) learn(runner string, names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.of == nil {
		k.of = map[string][]string{}
	}
	if len(names) > 0 && !slices.Equal(k.of[runner], names) {
		k.of[runner] = slices.Clone(names)
	}
}

func (k *kinds) known(runner string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.of[runner]
}
