package actors

import (
	"context"
	"math"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// Terminate drains the runner when its supervisor stops it: it refuses new tasks, lets the running ones finish, cancels
// those that do not, and puts back what is left. It works on the records, not on the mailbox, which is closed by now. After
// any other end it does nothing: the next incarnation takes everything up. So it is when the task supervisor is dead: then it
// is stopped only to be started again behind a new one (SH-10).
//
// Who stops in a hurry cuts the waiting short, but not the putting back: that ends with ctx, which is the process's own.
func (s *runner) Terminate(ctx context.Context, reason error) {
	if !messages.Is(reason, messages.Shutdown) || !s.system.Alive(s.tasks.Load().Supervisor().PID()) {
		return
	}
	s.draining = true
	patient, cancel := s.unlessHurried(ctx)
	defer cancel()
	select {
	case <-s.admission.close():
	case <-patient.Done():
	}
	s.stopLoop(ctx, 0) // the claimer first: nothing new comes then
	s.letFinish(patient, s.config.DrainTimeout)
	s.flushHook(ctx)
	for _, r := range s.runs.list() {
		r.tell(ErrStopping)
	}
	s.letFinish(patient, longer(s.config.Grace, s.config.Grace))
	s.giveUpRunning(ctx)
	s.putBackWaiting(ctx)
	s.flush(ctx)
	s.flushHook(ctx)
	s.stopLoops(ctx)
	s.drained.Store(true)
}

func (s *runner) stopLoops(ctx context.Context) {
	for i := range s.loops {
		s.stopLoop(ctx, i)
	}
}

func (s *runner) stopLoop(ctx context.Context, i int) {
	if i < len(s.loops) {
		// An error says that it is gone already, or that ctx ended: then it ends by itself, told by its context.
		_ = process.Stop(ctx, s.system, s.loops[i], messages.Shutdown)
	}
}

// unlessHurried gives a context that ends also when somebody who called Stop has no more time.
func (s *runner) unlessHurried(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.hurried, cancel)
	return ctx, func() { stop(); cancel() }
}

// longer adds durations; what is too large stays the largest.
func longer(d, by time.Duration) time.Duration {
	if sum := d + by; sum >= d {
		return sum
	}
	return math.MaxInt64
}

// letFinish handles the ends of running tasks as they come, for up to d.
func (s *runner) letFinish(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for _, r := range s.running() {
		select {
		case <-s.system.Done(r.pid):
			s.ended(ctx, r, messages.Killed)
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// giveUpRunning declares dead what runs still. Each of them was told, and had its time.
func (s *runner) giveUpRunning(ctx context.Context) {
	for _, r := range s.running() {
		s.system.Kill(r.pid)
		s.ended(ctx, r, messages.Killed)
	}
}

func (s *runner) running() []*run {
	var running []*run
	for _, r := range s.runs.list() {
		r.mu.Lock()
		if r.stage == started {
			running = append(running, r)
		}
		r.mu.Unlock()
	}
	return running
}

// putBackWaiting ends what was accepted and never started: a recorded task goes back to the store, a plain func is
// cancelled, since nothing could start it later.
func (s *runner) putBackWaiting(ctx context.Context) {
	for _, r := range s.runs.list() {
		r.mu.Lock()
		waiting := r.stage == accepted
		switch {
		case waiting && r.durable:
			r.putBack(failed(store.Available, ErrStopping))
		case waiting:
			r.putBack(failed(store.Cancelled, ErrStopping))
		}
		r.mu.Unlock()
		if waiting {
			s.record(ctx, r)
		}
	}
}

// flush waits until the store has everything, and tells everybody.
func (s *runner) flush(ctx context.Context) {
	if s.config.Store != nil {
		select {
		case <-s.writer.flushed():
		case <-ctx.Done():
			s.config.Logger.Error("stopped before all outcomes were recorded; their tasks run again",
				"runner", s.config.Name, "outcomes", s.writer.pending())
		}
	}
	for _, r := range s.runs.list() {
		r.mu.Lock()
		ready := r.stage == recorded
		r.mu.Unlock()
		if ready {
			s.settle(ctx, r)
		}
	}
}
