package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
	"github.com/taskrunner-go/taskrunner/remote"
	"github.com/taskrunner-go/taskrunner/store"
)

// sender is a process that asks for tasks and is told of their outcomes.
type sender struct {
	config  *childConfig
	journal *journal
	runners []*remote.Runner // by receiver
	known   memory
	telling sync.WaitGroup // those who wait for outcomes
	heard   hearing
}

// runSender asks for all runs that those before it have not asked for, and returns when all outcomes are told.
func runSender(ctx context.Context, c *childConfig, j *journal, before []event) error {
	s := &sender{config: c, journal: j, known: remember(before)}
	s.heard.remember(before)
	clients, runners, err := dial(ctx, c)
	if err != nil {
		return err
	}
	s.runners = runners
	following, leave := context.WithCancel(ctx)
	defer leave()
	var followers sync.WaitGroup
	for peer := range runners {
		followers.Go(func() { s.subscribe(following, peer) })
	}
	for _, e := range s.known.promised {
		s.telling.Go(func() { s.await(ctx, e) })
	}
	var asking sync.WaitGroup
	for caller := range c.Load.Callers {
		asking.Go(func() {
			s.call(ctx, caller)
			j.write(event{What: isThrough, Peer: caller % len(runners)})
		})
	}
	asking.Wait()
	s.telling.Wait()
	for harness.Pause(ctx, 10*time.Millisecond) && !s.heard.all() {
		continue
	}
	leave()
	followers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, client := range clients {
		err = errors.Join(err, client.Close(ctx))
	}
	if err == nil {
		j.write(event{What: isDone})
	}
	return err
}

// dial makes a client for each receiver.
func dial(ctx context.Context, c *childConfig) (clients []*remote.Client, runners []*remote.Runner, err error) {
	for i, address := range c.Receivers {
		client, err := remote.Dial(ctx, address+":"+port, remote.DialConfig{
			TLS: certificates(c.Dir, "client"), Away: away,
			Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)).With("process", c.Name, "life", c.Life, "to", i),
		})
		if err != nil {
			return nil, nil, err
		}
		clients, runners = append(clients, client), append(runners, client.Runner(runnerName))
	}
	return clients, runners, nil
}

// memory is what a sender knows of its lives before.
type memory struct {
	next     map[int]int // by caller: the number of the first run that may not have been accepted, or, by RunMany, was not asked for
	promised []event     // what was accepted, and has no outcome yet
}

// remember makes it of what they have noted. By RunMany nobody can ask again for what was not answered: it has no id.
func remember(before []event) memory {
	m := memory{next: map[int]int{}}
	accepted, told := map[string]event{}, map[string]bool{}
	for _, e := range before {
		caller, number := placeOf(e.Token)
		switch {
		case e.What == isAsked && e.ID == "", e.What == isAccepted:
			m.next[caller] = max(m.next[caller], number+1)
		case e.What == isTold:
			told[e.Token] = true
		}
		if e.What == isAccepted {
			accepted[e.Token] = e
		}
	}
	for token, e := range accepted {
		if !told[token] {
			m.promised = append(m.promised, e)
		}
	}
	return m
}

// tokenOf names a run; placeOf reads it.
func tokenOf(sender string, caller, number int) string {
	return fmt.Sprintf("%s.%d.%d", sender, caller, number)
}

func placeOf(token string) (caller, number int) {
	parts := strings.Split(token, ".")
	if len(parts) == 3 {
		caller, _ = strconv.Atoi(parts[1])
		number, _ = strconv.Atoi(parts[2])
	}
	return caller, number
}

// call is one caller, who speaks with one receiver.
func (s *sender) call(ctx context.Context, caller int) {
	peer := caller % len(s.runners)
	rng := rand.New(rand.NewPCG(s.config.Seed, uint64(s.config.Life*1000+caller)))
	for number := s.known.next[caller]; number < s.config.Load.Runs && ctx.Err() == nil; {
		if s.config.Load.Many {
			number += s.askMany(ctx, rng, caller, peer, number)
		} else {
			s.ask(ctx, rng, peer, s.order(caller, number))
			number++
		}
		if burst := s.config.Load.Burst; rng.IntN(burst) == 0 { // so that much comes at once, and then nothing
			harness.Pause(ctx, time.Duration(rng.Int64N(2*int64(burst)*int64(s.config.Load.Pause)+1)))
		}
	}
}

// order draws the run of a number, which is the same in all lives.
func (s *sender) order(caller, number int) order {
	token := tokenOf(s.config.Name, caller, number)
	return draw(rand.New(rand.NewPCG(uint64(caller), uint64(number))), token)
}

// ask asks for one run, by its id, until it is accepted.
func (s *sender) ask(ctx context.Context, rng *rand.Rand, peer int, o order) {
	for ctx.Err() == nil {
		e := event{What: isAsked, Token: o.Token, ID: o.id(), Peer: peer}
		s.journal.write(e)
		short, cancel := hurry(ctx, rng)
		options := []remote.Option{remote.WithID(o.id())}
		if rng.IntN(2) == 0 {
			options = append(options, remote.WithWait())
		}
		h, err := remote.Run[result](short, s.runners[peer], kind, o, options...)
		cancel()
		if s.answered(e, h, err) {
			s.follow(ctx, e, o, h)
			return
		}
		harness.Pause(ctx, time.Duration(rng.Int64N(int64(20*time.Millisecond))))
	}
}

// hurry gives some calls little time, so that nobody waits for their answer.
func hurry(ctx context.Context, rng *rand.Rand) (context.Context, context.CancelFunc) {
	if rng.IntN(30) == 0 {
		return context.WithTimeout(ctx, time.Duration(rng.Int64N(int64(30*time.Millisecond))))
	}
	return context.WithTimeout(ctx, patience)
}

// patience is how long a call may take that waits for room.
const patience = 30 * time.Second

// maxMany is how many runs are asked for in one call, at most.
const maxMany = 100

// askMany asks for many runs in one call, and gives how many. What is not answered is not asked for again: it has no id. It does not wait
// for room: what was refused for want of it would be offered again behind what was accepted meanwhile.
func (s *sender) askMany(ctx context.Context, rng *rand.Rand, caller, peer, number int) int {
	orders := make([]order, min(1+rng.IntN(maxMany), s.config.Load.Runs-number))
	for i := range orders {
		orders[i] = s.order(caller, number+i)
		s.journal.write(event{What: isAsked, Token: orders[i].Token, Peer: peer})
	}
	short, cancel := hurry(ctx, rng)
	defer cancel()
	handles, err := remote.RunMany[result](short, s.runners[peer], kind, orders)
	for i, o := range orders {
		var h *remote.Handle[result]
		if handles != nil {
			h = handles[i]
		}
		e := event{Token: o.Token, Peer: peer}
		if s.answered(e, h, err) {
			s.follow(ctx, e, o, h)
		}
	}
	return len(orders)
}

// answered notes the answer to one call.
func (s *sender) answered(e event, h *remote.Handle[result], err error) bool {
	if h != nil {
		e.What, e.ID, e.Existed = isAccepted, h.ID(), h.Existed()
		s.journal.write(e)
		s.heard.expect(e.ID)
		return true
	}
	e.What, e.Text, e.Unsure = isRefused, err.Error(), errors.Is(err, store.ErrUnavailable)
	s.journal.write(e)
	if !expected(err) {
		s.journal.write(event{What: isBroken, Token: e.Token, Text: err.Error()})
	}
	return false
}

// expected are the errors that a call may have in a bad network.
func expected(err error) bool {
	for _, may := range []error{remote.ErrNoConnection, store.ErrUnavailable, actors.ErrFull, actors.ErrStopping, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, may) {
			return true
		}
	}
	return false
}

// follow waits for the outcome of what was accepted, and cancels what is not wanted.
func (s *sender) follow(ctx context.Context, e event, o order, h *remote.Handle[result]) {
	e.ID = h.ID()
	s.telling.Go(func() {
		r, err := h.Await(ctx)
		if s.told(e, byHandle, r, err) {
			return
		}
		s.await(ctx, e)
	})
	if o.Do == planUnwanted {
		s.telling.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			if harness.Pause(ctx, o.Takes/2) {
				_ = h.Cancel(ctx) // whether it was, its outcome says
			}
		})
	}
}

// await waits for the outcome of a task by its id, until it is told.
func (s *sender) await(ctx context.Context, e event) {
	for ctx.Err() == nil {
		r, err := remote.Await[result](ctx, s.runners[e.Peer], e.ID)
		if s.told(e, byID, r, err) {
			return
		}
		harness.Pause(ctx, 20*time.Millisecond)
	}
}

// told notes an outcome, and reports whether it was one.
func (s *sender) told(e event, how string, r result, err error) bool {
	e = event{What: isTold, Token: e.Token, ID: e.ID, Peer: e.Peer, How: how}
	ended, failed := errors.AsType[*actors.TaskError](err)
	switch {
	case err == nil:
		e.State, e.Result = store.Completed, r.encode()
	case failed:
		e.State, e.Text = ended.State, ended.Err.Error()
	case errors.Is(err, store.ErrNotFound), !expected(err):
		e.What, e.Text = isBroken, "the outcome of "+e.Token+": "+err.Error()
	default:
		return false
	}
	s.journal.write(e)
	return e.What == isTold
}
