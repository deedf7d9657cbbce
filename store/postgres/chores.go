package postgres

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

const (
	// choresEvery is how often the store looks after what nobody calls for.
	choresEvery = 500 * time.Millisecond
	// youngFor is how long tasks stay in a bundle: those that run longer become rows of tasks, so that a few of them do not keep a
	// large bundle.
	youngFor = 3 * time.Second
	// strayEvery is after how many times it looks for what was given up.
	strayEvery = 4
	// oldRows is how many tasks leave their bundles for that reason in one go.
	oldRows = 1000
)

// chores is what is to be done by the store itself.
type chores struct {
	ready chan struct{} // of one: there is something to do now

	mu     sync.Mutex
	graves map[nodeRef]bool // nodes whose leases have ended
}

func newChores() *chores { return &chores{ready: make(chan struct{}, 1), graves: map[nodeRef]bool{}} }

func (c *chores) wake() {
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// recover has the tasks of a dead node taken back.
func (c *chores) recover(dead nodeRef) {
	c.mu.Lock()
	c.graves[dead] = true
	c.mu.Unlock()
	c.wake()
}

func (c *chores) takeGraves() []nodeRef {
	c.mu.Lock()
	defer c.mu.Unlock()
	graves := slices.Collect(maps.Keys(c.graves))
	clear(c.graves)
	return graves
}

// keepDoingChores does them until the store closes. What fails is tried again at the next time: there is nobody to be told.
func (s *Store) keepDoingChores(ctx context.Context) {
	ticker := time.NewTicker(choresEvery)
	defer ticker.Stop()
	orphans := &watch[nodeRef]{deadAfter: orphanAfter}
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-s.chores.ready:
			s.doUrgent(ctx)
		case <-ticker.C:
			n++
			s.doUrgent(ctx)
			s.doRegular(ctx, orphans, n%strayEvery == 0)
		}
	}
}

// doUrgent is what somebody waits for.
func (s *Store) doUrgent(ctx context.Context) {
	for _, grave := range s.chores.takeGraves() {
		_, _ = s.recoverNode(ctx, time.Now(), grave.runner, grave.node) // if it fails, the lease is found again
	}
	_ = s.placeEnded(ctx)
	s.drain(ctx)
}

func (s *Store) doRegular(ctx context.Context, orphans *watch[nodeRef], strays bool) {
	s.giveBack(ctx)
	s.unbundleOld(ctx)
	if strays {
		s.unbundleStrays(ctx)
		s.unclaimLost(ctx)
	}
	s.recoverOrphans(ctx, orphans)
	_ = s.persist(ctx, lent{s}, func(ctx context.Context, l *link) error { return l.run(ctx, s.sql.compact.with()) })
}

// unbundleOld makes rows of tasks of those that run for long.
func (s *Store) unbundleOld(ctx context.Context) {
	for ids := s.oldOnes(); len(ids) > 0; ids = s.oldOnes() {
		items := make([]leaver, len(ids))
		for i, id := range ids {
			items[i].id = id
		}
		if s.leaveYoung(ctx, items, nil) != nil {
			return
		}
	}
}

func (s *Store) oldOnes() []uuid { return s.young.old(time.Now().Add(-youngFor), oldRows) }

// unbundleStrays looks for bundles of ours that we do not know. Either we were wrong about one, and go on with its rows; or its
// statement was given up, and was done nevertheless: then nobody runs its tasks, and they are given back.
func (s *Store) unbundleStrays(ctx context.Context) {
	var strays []uuid
	err := s.persist(ctx, lent{s}, func(ctx context.Context, l *link) error {
		strays = nil
		return l.run(ctx, s.sql.strayBundles.with(s.handle[:]).each(func(c *columns) { strays = append(strays, c.uuid()) }))
	})
	if err != nil {
		return
	}
	for _, id := range slices.DeleteFunc(strays, s.young.known) { // one that has ended since is gone, and is no matter
		running, err := s.unbundle(ctx, lent{s}, id)
		if err != nil {
			return
		}
		if s.returns.wasLost(id) {
			for _, id := range running {
				s.returns.add(id.String(), 1)
			}
		}
	}
}

// recoverOrphans takes back what runs in nodes that have no lease, and seem never to have had one, of the runners that hold here.
func (s *Store) recoverOrphans(ctx context.Context, orphans *watch[nodeRef]) {
	seen := map[nodeRef]int64{}
	runners, _ := s.leases.runners()
	for _, runner := range runners {
		nodes, err := s.orphanNodes(ctx, runner)
		if err != nil {
			orphans.lose()
			return
		}
		for _, node := range nodes {
			seen[nodeRef{runner, node}] = 0
		}
	}
	for _, dead := range orphans.look(time.Since(s.started), seen) {
		_, _ = s.recoverNode(ctx, time.Now(), dead.runner, dead.node)
	}
}

// placeEnded gives the outcomes that were recorded in callers' transactions their places.
func (s *Store) placeEnded(ctx context.Context) error {
	for n := recoverRows; n == recoverRows; {
		var c *changes
		err := s.transact(ctx, lent{s}, func(ctx context.Context, t *txn) error {
			c = &changes{}
			var rows []row
			ended := s.sql.lockEnded.with(int4(recoverRows)).each(func(c *columns) { rows = append(rows, s.scanLocked(c)) })
			if err := t.run(ctx, ended); err != nil {
				return err
			}
			if n = len(rows); n == 0 {
				return nil
			}
			for i := range rows {
				c.moved(&rows[i])
			}
			return t.commit(ctx, c.calls(s.sql)...)
		})
		if err != nil {
			return err
		}
		s.tellChanges(c)
	}
	return nil
}

// returns are runs that nobody runs, because whoever asked for them no longer waited for the answer.
type returns struct {
	mu   sync.Mutex
	runs []store.RunID
	lost map[uuid]time.Time // bundles whose insertion was given up, and when: they may exist or not
}

// lostFor is how long it is remembered that a statement was given up: it may be done later, by a server that is slow or was stopped.
const lostFor = 10 * time.Minute

func (r *returns) add(id string, run int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs = append(r.runs, store.RunID{TaskID: id, Run: run})
}

func (r *returns) lose(bundle uuid, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost == nil {
		r.lost = map[uuid]time.Time{}
	}
	maps.DeleteFunc(r.lost, func(_ uuid, at time.Time) bool { return now.Sub(at) > lostFor })
	r.lost[bundle] = now
}

func (r *returns) wasLost(bundle uuid) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, lost := r.lost[bundle]
	return lost
}

func (r *returns) take() []store.RunID {
	r.mu.Lock()
	defer r.mu.Unlock()
	runs := r.runs
	r.runs = nil
	return runs
}

// giveBack makes the runs available again.
func (s *Store) giveBack(ctx context.Context) {
	runs := s.returns.take()
	if len(runs) == 0 {
		return
	}
	outcomes := make([]store.Outcome, len(runs))
	for i, run := range runs {
		outcomes[i] = store.Outcome{TaskID: run.TaskID, Run: run.Run, To: store.Available, FinishedAt: time.Now()}
	}
	if err := s.record(ctx, outcomes, make([]error, len(outcomes)), nil); err != nil {
		for _, run := range runs {
			s.returns.add(run.TaskID, run.Run)
		}
	}
}
