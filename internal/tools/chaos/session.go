package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
)

// session is some rounds on one new database, with the processes on it, and the history of it all.
type session struct {
	plan    *plan
	rng     *rand.Rand // of the rounds
	places  []place    // by slot
	program string
	load    load
	count   *progress
	notes   harness.Tally // what the variant did

	mu      sync.Mutex
	history history
	desk    *desk
	slots   []*process      // the last of each slot
	cursors []int64         // the last outcome that each slot was told of
	skews   []time.Duration // by how much the clock of each slot is wrong
	failed  chan struct{}   // closed when a process has ended by itself: the session goes no further
	pending sync.WaitGroup
}

// newSession makes a session without a process.
func newSession(p *plan, number int, places []place) *session {
	s := &session{
		plan: p, rng: rand.New(rand.NewPCG(p.seed, uint64(2*number))), places: places, program: p.program, load: p.variant.load(p),
		count: p.count, desk: newDesk(rand.New(rand.NewPCG(p.seed, uint64(2*number+1)))), slots: make([]*process, len(places)),
		cursors: make([]int64, len(places)), skews: make([]time.Duration, len(places)), failed: make(chan struct{}),
	}
	s.history.Rules = p.variant.rules()
	s.history.Rules.Grace, s.history.Rules.Soon = grace, p.soon
	return s
}

// start starts a process in a slot whose last one is gone, and returns when it runs; when it takes tasks, it tells.
func (s *session) start(slot int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := len(s.history.Lives)
	name := fmt.Sprintf("%c%d", 'a'+slot, number)
	l := life{Name: name, Slot: slot, Born: harness.Monotonic()}
	p, err := launch(s.program, childConfig{
		Name: name, Place: s.places[slot], Seed: s.plan.seed + uint64(number), Cursor: s.cursors[slot], Skew: s.skews[slot], Load: s.load,
	}, func(e event) { s.hear(number, e) })
	if err != nil {
		return err
	}
	p.number, p.slot = number, slot
	s.history.Lives, s.slots[slot] = append(s.history.Lives, l), p
	s.pending.Add(1)
	go s.watch(p)
	return nil
}

// hear notes what a process tells.
func (s *session) hear(number int, e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Process = number
	l := &s.history.Lives[number]
	p := s.slots[l.Slot]
	if e.What != isAway {
		s.history.Events = append(s.history.Events, e)
	}
	s.desk.note(e)
	s.count.note(e)
	switch e.What {
	case isReady:
		l.Ready, l.Node, p.ready = e.At, e.Text, true
	case isOutcome:
		s.cursors[l.Slot] = e.Pos
	case isBroken:
		s.fail()
	}
	if mark := p.marks[e.What]; mark != nil {
		mark <- e
		delete(p.marks, e.What)
	}
}

// fail is called with the lock.
func (s *session) fail() {
	select {
	case <-s.failed:
	default:
		close(s.failed)
	}
}

// watch waits for the end of a process and notes it.
func (s *session) watch(p *process) {
	defer s.pending.Done()
	<-p.gone
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.history.Lives[p.number]
	l.Gone = harness.Monotonic()
	p.ready = false
	s.desk.died(p.number)
	switch {
	case p.expects && p.WasKilled():
		l.Killed = true
	case p.expects && p.Succeeded():
		l.Stopped = true
	default:
		l.Crashed = p.LastWords()
		s.fail()
	}
}

// kill kills the process of a slot and returns when it is gone.
func (s *session) kill(slot int) {
	s.mu.Lock()
	p := s.slots[slot]
	if p == nil || isClosed(p.gone) {
		s.mu.Unlock()
		return
	}
	p.expects, p.ready = true, false
	s.history.Lives[p.number].Died = harness.Monotonic()
	s.count.kills.Add(1)
	s.mu.Unlock()
	p.Kill()
	<-p.gone
}

// stop tells the process of a slot to stop in order, and returns when it is gone. One that takes longer than patience is killed.
func (s *session) stop(slot int, patience time.Duration) {
	s.mu.Lock()
	p := s.slots[slot]
	if p == nil || isClosed(p.gone) {
		s.mu.Unlock()
		return
	}
	p.expects, p.ready = true, false
	s.history.Lives[p.number].Told = harness.Monotonic()
	s.mu.Unlock()
	p.told <- command{Do: doStop}
	select {
	case <-p.gone:
	case <-time.After(patience):
		s.kill(slot)
	}
}

// freeze has the process of a slot stand still.
func (s *session) freeze(slot int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.slots[slot]
	l := &s.history.Lives[p.number]
	p.ready = false
	l.Pauses = append(l.Pauses, span{From: harness.Monotonic(), To: forever})
	return p.Freeze()
}

// forever is the end of a pause that has none yet.
const forever = time.Duration(1<<63 - 1)

func (s *session) thaw(slot int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.slots[slot]
	l := &s.history.Lives[p.number]
	p.ready = true
	l.Pauses[len(l.Pauses)-1].To = harness.Monotonic()
	return p.Thaw()
}

// mark says that from now on, and not before, what died can run again.
func (s *session) mark() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history.Marks = append(s.history.Marks, harness.Monotonic())
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// ensure starts a process in each slot that has none.
func (s *session) ensure() error {
	for slot := range s.slots {
		s.mu.Lock()
		p := s.slots[slot]
		s.mu.Unlock()
		if p == nil || isClosed(p.gone) {
			if err := s.start(slot); err != nil {
				return err
			}
		}
	}
	return nil
}

// disturb draws commands and gives each to some process, until ctx ends.
func (s *session) disturb(ctx context.Context, every time.Duration) {
	defer s.pending.Done()
	for harness.Pause(ctx, every) {
		s.mu.Lock()
		if p := s.anyReady(); p != nil && len(p.told) < cap(p.told)/2 {
			if m, ok := s.desk.draw(); ok {
				p.told <- m
			}
		}
		s.mu.Unlock()
	}
}

// anyReady is called with the lock.
func (s *session) anyReady() *process {
	ready := slices.DeleteFunc(slices.Clone(s.slots), func(p *process) bool { return p == nil || !p.ready })
	if len(ready) == 0 {
		return nil
	}
	return ready[s.desk.rng.IntN(len(ready))]
}

// Errors that end a session.
var (
	errFailed  = errors.New("chaos: a process has failed")
	errWaiting = errors.New("chaos: in vain")
)

// run does so many rounds and then has everything worked off. What it ends with, the judge is to see also if it is an error.
func (s *session) run(ctx context.Context, rounds int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-s.failed:
			cancel(errFailed)
		case <-stop:
		}
	}()
	conducted, end := context.WithCancel(ctx)
	s.pending.Add(1)
	go s.disturb(conducted, 4*time.Millisecond)
	err := s.disrupt(ctx, rounds)
	end()
	if err == nil {
		err = s.workOff(ctx)
	}
	s.close()
	return err
}

// disrupt does the rounds.
func (s *session) disrupt(ctx context.Context, rounds int) error {
	for range rounds {
		if err := s.ensure(); err != nil {
			return err
		}
		if err := s.plan.variant.round(ctx, s); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.count.rounds.Add(1)
	}
	return nil
}

// workOff ends the load and waits until no task waits or runs, and every cursor has been told of the last outcome.
func (s *session) workOff(ctx context.Context) error {
	if s.plan.variant.calm != nil {
		if err := s.plan.variant.calm(ctx, s); err != nil {
			return err
		}
	}
	if err := s.ensure(); err != nil {
		return err
	}
	if _, err := s.all(ctx, "", isReady, time.Minute); err != nil {
		return err
	}
	if _, err := s.all(ctx, doRest, isRested, time.Minute); err != nil {
		return err
	}
	idle, err := s.all(ctx, doSettle, isIdle, 2*time.Minute)
	if err != nil {
		return err
	}
	return s.await(ctx, "every cursor to be told of the last outcome", 10*time.Second, func() bool {
		return slices.Min(s.cursors) >= idle[0].Pos
	})
}

// all tells the processes of all slots something and waits for their answers.
func (s *session) all(ctx context.Context, do string, answer what, patience time.Duration) ([]event, error) {
	answers := make([]chan event, len(s.slots))
	s.mu.Lock()
	for slot, p := range s.slots {
		answers[slot] = make(chan event, 1)
		if answer == isReady && p.ready {
			answers[slot] <- event{}
			continue
		}
		p.marks[answer] = answers[slot]
		if do != "" {
			p.told <- command{Do: do}
		}
	}
	s.mu.Unlock()
	timeout := time.After(patience)
	events := make([]event, len(s.slots))
	for slot := range answers {
		select {
		case events[slot] = <-answers[slot]:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-timeout:
			return nil, fmt.Errorf("%w: waited %s for slot %d to be %s", errWaiting, patience, slot, answer)
		}
	}
	return events, nil
}

// await waits until something is so. It looks with the lock.
func (s *session) await(ctx context.Context, what string, patience time.Duration, so func() bool) error {
	for end := time.Now().Add(patience); ; {
		s.mu.Lock()
		done := so()
		s.mu.Unlock()
		switch {
		case done:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%w: waited %s for %s", errWaiting, patience, what)
		case !harness.Pause(ctx, 5*time.Millisecond):
			return context.Cause(ctx)
		}
	}
}

// close ends all processes, in order if they do so within half a minute.
func (s *session) close() {
	for slot := range s.slots {
		s.stop(slot, 30*time.Second)
	}
	s.pending.Wait()
}

// lastWords is what the processes printed that ended last, for those who look for a cause.
func (s *session) lastWords() string {
	var b strings.Builder
	for _, p := range s.slots {
		if p != nil {
			fmt.Fprintf(&b, "-- %s\n%s\n", s.history.Lives[p.number].Name, p.LastWords())
		}
	}
	return b.String()
}
