package postgres

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// leases are the rows of this handle in the table of nodes: what they should be, and what they are as far as we know.
type leases struct {
	turn chan struct{} // of one: whoever has taken it may change the rows

	mu   sync.Mutex
	held map[string]*lease // by runner
	rows map[nodeRef]bool  // that are recorded, and have not ended
}

// nodeRef is a runner in a node.
type nodeRef struct{ runner, node string }

// lease says that a runner runs in a node of this process.
type lease struct {
	node     string
	recorded chan struct{} // closed when it is recorded
	cancels  int64         // which tasks were to be cancelled when we looked last: the sum of their seqs
}

func newLeases() *leases {
	return &leases{turn: make(chan struct{}, 1), held: map[string]*lease{}, rows: map[nodeRef]bool{}}
}

// Hold implements store.Worker. The lease is recorded before Hold returns, or, if the server is away, as soon as it is back; until
// then, calls of Insert and Claim for this runner and node wait.
func (s *Store) Hold(holder store.Holder) (release func(), err error) {
	if !s.calls.Enter() {
		return nil, store.ErrClosed
	}
	defer s.calls.Leave()
	unhold, err := s.holders.Hold(holder)
	if err != nil {
		return nil, err
	}
	own := s.leases.add(holder)
	ctx, cancel := context.WithTimeout(s.life, holdPatience)
	defer cancel()
	_ = s.recordLeases(ctx, lent{s}) // if it fails, the loop goes on trying
	return sync.OnceFunc(func() {
		s.leases.remove(holder.Runner, own)
		unhold()
	}), nil
}

// holdPatience is how long Hold waits for its lease to be recorded.
const holdPatience = 2 * time.Second

func (l *leases) add(holder store.Holder) *lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := &lease{node: holder.Node, recorded: make(chan struct{})}
	l.held[holder.Runner] = own
	return own
}

func (l *leases) remove(runner string, own *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[runner] == own {
		delete(l.held, runner)
	}
}

// await waits until the lease is recorded, if the runner holds in this node: what is recorded as running there before, others would
// take for an orphan.
func (l *leases) await(ctx context.Context, runner, node string) error {
	if node == "" {
		return nil
	}
	recorded := l.recording(runner, node)
	if recorded == nil || isClosed(recorded) {
		return nil
	}
	select {
	case <-recorded:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// removeAll ends all leases.
func (l *leases) removeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.held)
}

// recording gives what is closed when the lease is recorded; nil if there is none.
func (l *leases) recording(runner, node string) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if own := l.held[runner]; own != nil && own.node == node {
		return own.recorded
	}
	return nil
}

// difference is what is to be recorded, and what has ended.
func (l *leases) difference() (begun, over []nodeRef) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for runner, own := range l.held {
		if ref := (nodeRef{runner, own.node}); !l.rows[ref] {
			begun = append(begun, ref)
		}
	}
	for ref := range l.rows {
		if own := l.held[ref.runner]; own == nil || own.node != ref.node {
			over = append(over, ref)
		}
	}
	return begun, over
}

// note notes that the difference is recorded.
func (l *leases) note(begun, over []nodeRef) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ref := range over {
		delete(l.rows, ref)
	}
	for _, ref := range begun {
		l.rows[ref] = true
	}
	for runner, own := range l.held {
		if l.rows[nodeRef{runner, own.node}] && !isClosed(own.recorded) {
			close(own.recorded)
		}
	}
}

func isClosed(ch chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// recorded gives the rows that are.
func (l *leases) recorded() []nodeRef {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.rows))
}

// lost takes the rows that were recorded, and those that are alive, and gives the runners whose row should be but is not: somebody
// thought us dead.
func (l *leases) lost(recorded []nodeRef, alive map[nodeRef]bool) (lost []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ref := range recorded {
		if alive[ref] {
			continue
		}
		delete(l.rows, ref)
		if own := l.held[ref.runner]; own != nil && own.node == ref.node {
			own.recorded = make(chan struct{})
			lost = append(lost, ref.runner)
		}
	}
	return lost
}

// runners gives those that hold, with their nodes.
func (l *leases) runners() (runners, nodes []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for runner, own := range l.held {
		runners, nodes = append(runners, runner), append(nodes, own.node)
	}
	return runners, nodes
}

// newCancels reports whether other tasks are to be cancelled than when we looked last.
func (l *leases) newCancels(runner string, sum int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.held[runner]
	if own == nil {
		return false
	}
	changed := own.cancels != sum
	own.cancels = sum
	return changed && sum != 0
}

// recordLeases makes the rows as they should be.
func (s *Store) recordLeases(ctx context.Context, from source) error {
	select {
	case s.leases.turn <- struct{}{}:
		defer func() { <-s.leases.turn }()
	case <-ctx.Done():
		return ended(ctx)
	}
	begun, over := s.leases.difference()
	if len(begun)+len(over) > 0 {
		err := s.persist(ctx, from, func(ctx context.Context, l *link) error {
			return l.run(ctx, s.sql.release.with(s.refArgs(over)...), s.sql.hold.with(s.refArgs(begun)...))
		})
		if err != nil {
			return err
		}
	}
	s.leases.note(begun, over)
	for _, ref := range begun {
		s.teller.add(ref.runner, signalHeld)
	}
	return nil
}

func (s *Store) refArgs(refs []nodeRef) [][]byte {
	var runners, nodes []string
	for _, ref := range refs {
		runners, nodes = append(runners, ref.runner), append(nodes, ref.node)
	}
	return [][]byte{s.handle[:], texts(runners...), texts(nodes...)}
}

// nodeKey is a row of the table of nodes.
type nodeKey struct {
	nodeRef

	handle uuid
	ended  bool
}

// keepLeases raises our beats and looks at those of the others, until the store closes. Nothing else is done here, so that nothing
// holds it up.
func (s *Store) keepLeases(ctx context.Context, own *keeper) {
	defer own.close()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	others := &watch[nodeKey]{deadAfter: deadAfter}
	for n := 0; ; n++ {
		if err := s.lookAround(ctx, own, others, n%int(beatEvery/lookEvery) == 0); err != nil {
			others.lose()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// lookAround is one round. It does not persist: that the server is away is what it is to notice.
func (s *Store) lookAround(ctx context.Context, own *keeper, others *watch[nodeKey], raise bool) error {
	ctx, cancel := context.WithTimeout(ctx, longestGap)
	defer cancel()
	recorded := s.leases.recorded()
	beats, err := s.readLeases(ctx, own, raise)
	if s.loops.Err() == nil {
		s.contact.note(absence(unanswered(err, longestGap)))
	}
	if err != nil {
		return err
	}
	s.lookAfterOurs(ctx, own, recorded, beats)
	for _, node := range others.look(time.Since(s.started), beats) {
		s.bury(ctx, own, node, beats[node])
	}
	return nil
}

// readLeases gives the beats of all leases, after it has raised ours.
func (s *Store) readLeases(ctx context.Context, own *keeper, raise bool) (map[nodeKey]int64, error) {
	beats := map[nodeKey]int64{}
	look := s.sql.look.with().each(func(c *columns) {
		handle, ref, beat := c.uuid(), nodeRef{runner: c.text(), node: c.text()}, c.int64()
		beats[nodeKey{nodeRef: ref, handle: handle, ended: c.bool()}] = beat
	})
	calls := []call{look}
	if raise {
		calls = []call{s.sql.beat.with(s.handle[:]), look}
	}
	return beats, s.try(ctx, own, &backend{}, func(ctx context.Context, l *link) error { return l.run(ctx, calls...) })
}

// lookAfterOurs notices when we were thought dead, and records what is not recorded yet. It learns which runners hold elsewhere. Our leases
// are taken out of the beats, but for those that have ended.
func (s *Store) lookAfterOurs(ctx context.Context, own *keeper, recorded []nodeRef, beats map[nodeKey]int64) {
	alive, elsewhere := map[nodeRef]bool{}, map[string]bool{}
	for node := range beats {
		switch {
		case node.ended:
		case node.handle == s.handle:
			alive[node.nodeRef] = true
			delete(beats, node)
		default:
			elsewhere[node.runner] = true
		}
	}
	s.teller.know(elsewhere)
	lost := s.leases.lost(recorded, alive)
	_ = s.recordLeases(ctx, own) // the next round tries again
	for _, runner := range lost {
		s.holders.Notify(runner, store.SignalTaken)
	}
}

// bury ends the lease of a dead node, unless its beat has risen in the last moment, and has its tasks taken back. Others may do the same:
// each task is taken back by one.
func (s *Store) bury(ctx context.Context, own *keeper, node nodeKey, beat int64) {
	var buried int64
	err := s.try(ctx, own, &backend{}, func(ctx context.Context, l *link) error {
		return l.run(ctx, s.sql.bury.with(node.handle[:], text(node.runner), text(node.node), bigint(beat)).counting(&buried))
	})
	if err == nil && buried > 0 {
		s.chores.recover(node.nodeRef)
	}
}
