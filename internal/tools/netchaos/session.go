package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
)

func monotonic() time.Duration { return harness.Monotonic() }

// session is some machines with their processes, the trouble that is made for them, and the history of it all.
type session struct {
	plan *plan
	rng  *rand.Rand
	net  *network
	dir  string

	mu       sync.Mutex
	slots    []*slot // by machine
	history  history
	accepted map[pair]time.Duration // when a run was last accepted, of those that were asked for since the time before
	asked    map[string]time.Duration
	through  map[pair]int          // how many callers of the sender's process have nothing more to ask
	watched  map[int]time.Duration // by receiver: when the monitors were last in place
	downs    map[int]int           // by receiver: how many monitors were told since
	progress time.Duration         // when anything was accepted or told last
	count    counts

	pending sync.WaitGroup
	failed  chan struct{} // closed when a process has ended by itself: the session goes no further
}

// pair is a sender and a receiver, by their machines.
type pair struct{ sender, receiver int }

// counts are for those who watch.
type counts struct{ accepted, told, started int }

// slot is the process of a machine.
type slot struct {
	process *harness.Process
	life    int
	expects bool // its end: somebody has killed it or told it to stop
	done    bool // it has nothing more to do
}

// end ends the process.
func (s *slot) end(how syscall.Signal) {
	if s.process.IsGone() {
		return
	}
	s.process.Signal(how)
	select {
	case <-s.process.Gone():
	case <-time.After(stopTime + 5*time.Second): // it stands still, or hangs
		s.process.Kill()
	}
}

func newSession(p *plan, net *network, dir string) *session {
	s := &session{
		plan: p, rng: rand.New(rand.NewPCG(p.seed, 0)), net: net, dir: dir, slots: make([]*slot, len(net.machines)),
		accepted: map[pair]time.Duration{}, asked: map[string]time.Duration{}, through: map[pair]int{}, watched: map[int]time.Duration{}, downs: map[int]int{},
		failed: make(chan struct{}), progress: monotonic(),
	}
	for i, m := range net.machines {
		s.history.Machines = append(s.history.Machines, m.name)
		s.history.Roles = append(s.history.Roles, p.roles[i])
		if p.roles[i] == receiving {
			s.history.Receivers = append(s.history.Receivers, i)
		}
	}
	s.history.Many = p.variant.many
	return s
}

// start starts a process on a machine whose last one is gone, unless that one had nothing more to do.
func (s *session) start(machine int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, life := s.slots[machine], 0
	if before != nil {
		if before.done {
			return nil
		}
		life = before.life + 1
	}
	config := childConfig{
		Role: s.plan.roles[machine], Name: s.net.machines[machine].name, Life: life, Dir: s.dir, Seed: s.plan.seed, Load: s.plan.load(),
	}
	for _, i := range s.history.Receivers {
		config.Receivers = append(config.Receivers, s.net.machines[i].address)
	}
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	cmd := exec.Command(s.plan.program) //nolint:noctx // it is killed in its time, and dies with us
	cmd.Env = append(os.Environ(), asChild+"="+string(text))
	process, err := harness.Launch(cmd, s.net.machines[machine].enter)
	if err != nil {
		return err
	}
	now := &slot{process: process, life: life}
	s.slots[machine] = now
	for _, receiver := range s.history.Receivers {
		s.through[pair{machine, receiver}] = 0
	}
	s.pending.Go(func() { s.watch(machine, now) })
	return nil
}

// watch waits for the end of a process.
func (s *session) watch(machine int, p *slot) {
	<-p.process.Gone()
	s.mu.Lock()
	defer s.mu.Unlock()
	p.done = s.plan.roles[machine] == sending && p.process.Succeeded()
	if p.done || p.process.WasKilled() || s.plan.roles[machine] != sending && p.process.Succeeded() {
		return
	}
	if s.plan.roles[machine] == sending && p.expects { // told to stop before it was through
		return
	}
	if p.expects && strings.Contains(p.process.LastWords(), "signal: terminated") { // as early as that it cannot hear it; one that is ready can
		return
	}
	s.history.Crashes = append(s.history.Crashes, fmt.Sprintf("%s, life %d: %s", s.net.machines[machine].name, p.life, p.process.LastWords()))
	s.fail()
}

// fail is called with the lock.
func (s *session) fail() {
	select {
	case <-s.failed:
	default:
		close(s.failed)
	}
}

// errFailed and errWaiting end a session.
var (
	errFailed  = errors.New("netchaos: a process has failed")
	errWaiting = errors.New("netchaos: in vain")
)

// run makes all the trouble, and has everything worked off. What it ends with, the judge is to see also if it is an error.
func (s *session) run(ctx context.Context) error {
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
	reading, end := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	for i, m := range s.net.machines {
		readers.Go(func() { s.follow(reading, i, journalOf(s.dir, m.name)) })
	}
	err := s.disrupt(ctx)
	if err == nil {
		err = s.workOff(ctx)
	}
	s.close()
	end()
	readers.Wait()
	return err
}

// readEvery is how often it is looked what is new in a journal.
const readEvery = 2 * time.Millisecond

// follow reads a journal while it is written, and once more at the end.
func (s *session) follow(ctx context.Context, machine int, path string) {
	var file *os.File
	var r reader
	for more := true; more; {
		more = harness.Pause(ctx, readEvery)
		if file == nil {
			var err error
			if file, err = os.Open(path); err != nil {
				continue // it is not there yet
			}
			r = reader{lines: bufio.NewReaderSize(file, 256<<10)}
		}
		if err := r.read(func(e event) { s.hear(machine, e) }); err != nil {
			s.hear(machine, event{What: isBroken, Text: err.Error()})
		}
	}
	if file != nil {
		_ = file.Close()
	}
}

// hear takes notice of an event.
func (s *session) hear(machine int, e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Machine = machine
	s.history.Events = append(s.history.Events, e)
	switch e.What {
	case isAsked:
		s.asked[e.Token] = e.At
	case isAccepted:
		s.accepted[pair{machine, s.history.Receivers[e.Peer]}] = s.asked[e.Token]
		delete(s.asked, e.Token)
		s.count.accepted++
		s.progress = monotonic()
	case isTold:
		s.count.told++
		s.progress = monotonic()
	case isThrough:
		if e.Life == s.slots[machine].life {
			s.through[pair{machine, s.history.Receivers[e.Peer]}]++
		}
	case isStarted:
		s.count.started++
	case isWatching:
		s.watched[e.Peer], s.downs[e.Peer] = e.At, 0
	case isDown:
		s.downs[e.Peer]++
	case isBroken:
		s.fail()
	}
}

// disrupt starts all and does the rounds, for as long as somebody has something to do.
func (s *session) disrupt(ctx context.Context) error {
	for i := range s.net.machines {
		if err := s.start(i); err != nil {
			return err
		}
	}
	for range s.plan.rounds {
		if s.isDone() {
			return nil
		}
		if err := s.plan.variant.round(ctx, s); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.mu.Lock()
		s.history.Rounds++
		s.mu.Unlock()
	}
	return nil
}

// randomRound makes trouble at a random moment. After half of the rounds it waits until everything goes on.
func randomRound(ctx context.Context, s *session) error {
	harness.Pause(ctx, time.Duration(s.rng.Int64N(int64(1500*time.Millisecond))))
	troubles, takes := drawRound(s.rng, len(s.slots))
	troubles, takes = s.possible(troubles, takes)
	errs := make([]error, len(troubles))
	var all sync.WaitGroup
	for i := range troubles {
		all.Go(func() {
			errs[i] = s.begin(ctx, &troubles[i])
			if errs[i] == nil {
				harness.Pause(ctx, takes[i])
				errs[i] = s.undo(context.WithoutCancel(ctx), troubles[i])
			}
		})
	}
	all.Wait()
	if s.rng.IntN(2) == 0 {
		since := monotonic()
		// That it takes too long is for the judge.
		_ = s.await(ctx, "everything to go on", 30*time.Second, func() bool { return s.goesOn(since) })
	}
	return errors.Join(errs...)
}

// possible leaves out what is to be done to processes that have ended, since all was done.
func (s *session) possible(troubles []trouble, takes []time.Duration) ([]trouble, []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var some []trouble
	var times []time.Duration
	for i, t := range troubles {
		switch at := s.slots[t.Machine]; {
		case ofProcess(t.Kind) && at.process.IsGone():
		case t.Kind == stopped && s.plan.roles[t.Machine] != receiving: // a sender that is told to stop is as one that is killed
		default:
			some, times = append(some, t), append(times, takes[i])
		}
	}
	return some, times
}

// goesOn is called with the lock.
func (s *session) goesOn(since time.Duration) bool {
	for i, slot := range s.slots {
		if s.plan.roles[i] != sending || slot.process.IsGone() {
			continue
		}
		for _, receiver := range s.history.Receivers {
			if p := (pair{i, receiver}); s.accepted[p] < since && s.through[p] < callers/len(s.history.Receivers) {
				return false
			}
		}
	}
	return true
}

// isDone reports whether no sender has anything to do.
func (s *session) isDone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.slots, func(p *slot) bool { return !p.done }) || s.sendersDone()
}

// sendersDone is called with the lock. Where there are none, there is no end to it.
func (s *session) sendersDone() bool {
	senders := 0
	for i, slot := range s.slots {
		if s.plan.roles[i] == sending {
			senders++
			if !slot.done {
				return false
			}
		}
	}
	return senders > 0
}

// stall is for how long nothing may be accepted or told when nothing is in the way.
const stall = 45 * time.Second

// workOff waits until all senders are through.
func (s *session) workOff(ctx context.Context) error {
	if !slices.Contains(s.plan.roles, sending) {
		return nil
	}
	s.mu.Lock()
	s.progress = monotonic()
	s.mu.Unlock()
	for !s.isDone() {
		s.mu.Lock()
		still := monotonic() - s.progress
		s.mu.Unlock()
		if still > stall {
			return fmt.Errorf("%w: for %s nothing was accepted or told, and not all is done", errWaiting, stall)
		}
		if !harness.Pause(ctx, 20*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
	return nil
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

// close ends all processes, receivers last and in order.
func (s *session) close() {
	for _, role := range []string{sending, watching, receiving} {
		for i, p := range s.slots {
			if s.plan.roles[i] == role && p != nil {
				s.mu.Lock()
				p.expects = true
				s.mu.Unlock()
				p.end(syscall.SIGTERM)
			}
		}
	}
	s.pending.Wait()
}
