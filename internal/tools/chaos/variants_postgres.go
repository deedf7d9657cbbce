package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
)

// pausing: a process may be thought dead that lives.
func pausing() rules { return rules{Pauses: true, LosesAnswers: true} }

// losing: statements are under way when the server is gone.
func losing() rules { return rules{LosesAnswers: true} }

// lengthy has some tasks that run longer than the lease.
func lengthy(p *plan) load {
	l := ordinary(p)
	l.Long = 3
	return l
}

// shortPause is never so long that a process is thought dead.
const shortPause = time.Second

// pauseRound has a process stand still, or all but one: mostly for longer than the lease.
func pauseRound(ctx context.Context, s *session) error {
	harness.Pause(ctx, s.some(2*time.Second))
	paused := s.rng.Perm(len(s.slots))[:1+s.rng.IntN(len(s.slots)-1)]
	length := s.plan.pause + s.some(s.plan.pause/4)
	if s.rng.IntN(5) == 0 {
		length = s.some(shortPause)
	}
	for _, slot := range paused {
		if err := s.freeze(slot); err != nil {
			return err
		}
	}
	harness.Pause(ctx, length)
	for _, slot := range paused {
		if err := s.thaw(slot); err != nil {
			return err
		}
	}
	harness.Pause(ctx, s.some(3*time.Second))
	return nil
}

// restartRound kills the server, or has it stop without ado, and starts it again.
func restartRound(ctx context.Context, s *session) error {
	harness.Pause(ctx, s.some(3*time.Second))
	before := s.ends()
	switch s.rng.IntN(3) {
	case 0:
		s.plan.server.Stop(servertest.StopFast)
	case 1:
		s.plan.server.Stop(servertest.StopImmediate)
	default:
		s.plan.server.Kill()
	}
	harness.Pause(ctx, s.some(2*time.Second))
	s.notes.Add("servers restarted", 1)
	s.notes.Add("  handlers that returned meanwhile", s.ends()-before)
	s.plan.server.Start()
	return s.goesOn(ctx)
}

// ends is how many handlers have returned.
func (s *session) ends() int { return int(s.count.returned.Load()) }

// outageRound has the server away for some time, in which processes are killed, and started again on their spools.
func outageRound(ctx context.Context, s *session) error {
	harness.Pause(ctx, s.some(2*time.Second))
	before := s.ends()
	s.plan.server.Stop(servertest.StopImmediate)
	harness.Pause(ctx, s.some(2*time.Second))
	s.kill(s.rng.IntN(len(s.slots)))
	harness.Pause(ctx, s.some(500*time.Millisecond))
	if err := s.ensure(); err != nil {
		return err
	}
	harness.Pause(ctx, s.some(3*time.Second))
	s.notes.Add("outages", 1)
	s.notes.Add("  handlers that returned meanwhile", s.ends()-before)
	s.plan.server.Start()
	return s.goesOn(ctx)
}

// cutRound cuts connections in the middle of what is written: some before the server sees it, some when it is done and before the
// answer is on its way. Now and then all are cut at once.
func cutRound(ctx context.Context, s *session) error {
	harness.Pause(ctx, s.some(200*time.Millisecond))
	for range 1 + s.rng.IntN(4) {
		wait := atomic.Int64{}
		wait.Store(s.rng.Int64N(40))
		match := func(f servertest.Frame) bool { return isWrite(f) && wait.Add(-1) < 0 }
		cut := s.plan.server.proxy.LoseAnswer
		name := "answers lost"
		if s.rng.IntN(2) == 0 {
			cut, name = s.plan.server.proxy.LoseRequest, "requests lost"
		}
		select {
		case <-cut(match):
			s.notes.Add(name, 1)
		case <-time.After(2 * time.Second):
		}
	}
	if s.rng.IntN(10) == 0 {
		s.plan.server.proxy.Cut()
		s.notes.Add("all connections cut", 1)
	}
	return nil
}

// isWrite accepts what may end in a commit. A simple query and an Execute are what has the server run something.
func isWrite(f servertest.Frame) bool {
	for _, verb := range []string{"insert", "update", "delete", "commit"} {
		if servertest.Runs(verb)(f) {
			return true
		}
	}
	return false
}
