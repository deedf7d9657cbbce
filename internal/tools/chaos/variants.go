package main

import (
	"context"
	"slices"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
)

// variant is a way to make trouble.
type variant struct {
	name   string
	about  string
	stores []string // with which of them it makes sense
	mounts bool     // the databases are on a small disk of their own
	clocks bool     // the server's clock jumps too
	proxy  bool     // the processes reach the server through its proxy
	spools bool     // each slot has a spool

	rules func() rules
	load  func(*plan) load
	// round makes trouble once. A slot that has no process when it returns gets one.
	round func(context.Context, *session) error
	// calm puts right what rounds have left in disorder, so that all can be worked off; nil: nothing.
	calm func(context.Context, *session) error
}

// Stores.
const (
	onSQLite   = "sqlite"
	onPostgres = "postgres"
)

// variants gives all of them, the default first.
func variants() []*variant {
	return []*variant{
		{name: "kill", about: "processes are killed and started again", stores: []string{onSQLite, onPostgres},
			rules: strict, load: ordinary, round: killRound},
		{name: "torn", about: "the power fails: what was not synced is lost", stores: []string{onSQLite},
			rules: strict, load: ordinary, round: tornRound},
		{name: "full", about: "the disk is full, or the limit of the store is reached", stores: []string{onSQLite}, mounts: true,
			rules: strict, load: ordinary, round: fullRound},
		{name: "pause", about: "processes stand still for longer than their lease", stores: []string{onPostgres},
			rules: pausing, load: lengthy, round: pauseRound},
		{name: "postgres-restart", about: "the server is killed or stopped, and started again", stores: []string{onPostgres},
			rules: losing, load: ordinary, round: restartRound},
		{name: "cut", about: "connections are cut in the middle of a commit", stores: []string{onPostgres}, proxy: true,
			rules: losing, load: ordinary, round: cutRound},
		{name: "outage", about: "the server is away, and processes are killed meanwhile", stores: []string{onPostgres}, spools: true,
			rules: losing, load: ordinary, round: outageRound},
		{name: "clock", clocks: true, about: "the clocks jump an hour forwards and back", stores: []string{onSQLite, onPostgres},
			rules: strict, load: ordinary, round: clockRound, calm: setClocks},
	}
}

func findVariant(name, store string) *variant {
	for _, v := range variants() {
		if v.name == name && slices.Contains(v.stores, store) {
			return v
		}
	}
	return nil
}

// strict has no exceptions.
func strict() rules { return rules{} }

// ordinary is a load below what the machine can do, so that what becomes available starts soon.
func ordinary(p *plan) load {
	if p.store == onPostgres {
		return load{Callers: 4, Pause: 30 * time.Millisecond}
	}
	return load{Callers: 8, Pause: 15 * time.Millisecond}
}

// some gives a random time up to most.
func (s *session) some(most time.Duration) time.Duration {
	return time.Duration(s.rng.Int64N(int64(most)))
}

// killRound kills one process or more at a random moment, which may be before it takes tasks. Now and then one has been told to
// stop before, in time or not.
func killRound(ctx context.Context, s *session) error {
	harness.Pause(ctx, s.some(s.plan.between()))
	for _, slot := range s.victims() {
		if s.rng.IntN(10) == 0 {
			s.stop(slot, s.some(2*time.Second))
		} else {
			s.kill(slot)
		}
	}
	harness.Pause(ctx, s.some(s.plan.absence()))
	return nil
}

// victims draws who is killed: mostly one, now and then several, and sometimes all.
func (s *session) victims() []int {
	slots := s.rng.Perm(len(s.slots))
	switch s.rng.IntN(10) {
	case 0:
		return slots
	case 1, 2:
		return slots[:(len(slots)+1)/2]
	}
	return slots[:1]
}

// between is the longest time between two rounds.
func (p *plan) between() time.Duration {
	if p.store == onPostgres {
		return 4 * time.Second
	}
	return 1200 * time.Millisecond
}

// absence is how long a process is away at most: on PostgreSQL sometimes so long that others take over its tasks.
func (p *plan) absence() time.Duration {
	if p.store == onPostgres {
		return 6 * time.Second
	}
	return 50 * time.Millisecond
}

// clockJump is by how much clocks are wrong.
const clockJump = time.Hour

// clockRound sets the clocks, for all processes or for one, while they run. Every third round kills as well.
func clockRound(ctx context.Context, s *session) error {
	if s.rng.IntN(3) == 0 {
		return killRound(ctx, s)
	}
	harness.Pause(ctx, s.some(s.plan.between()))
	skews := []time.Duration{-clockJump, 0, clockJump}
	skew := skews[s.rng.IntN(len(skews))]
	s.notes.Add("clock jumps", 1)
	switch what := s.rng.IntN(3); {
	case what == 0 && s.plan.server != nil:
		s.plan.server.SetClock(skew)
	case what == 1:
		s.setSkew(skew, s.rng.IntN(len(s.slots)))
	default:
		s.setSkew(skew, s.rng.Perm(len(s.slots))...)
	}
	return nil
}

// setClocks has all clocks be where the furthest was, so that what is to run then does.
func setClocks(_ context.Context, s *session) error {
	if s.plan.server != nil {
		s.plan.server.SetClock(clockJump)
	}
	s.setSkew(clockJump, s.rng.Perm(len(s.slots))...)
	return nil
}

// setSkew sets the clocks of these slots, also of processes that are started later.
func (s *session) setSkew(skew time.Duration, slots ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, slot := range slots {
		s.skews[slot] = skew
		if p := s.slots[slot]; p != nil {
			p.tell(command{Do: doClock, Skew: skew})
		}
	}
}
