package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/store"
)

// asChild is the environment variable that makes a process a child; it holds its childConfig.
const asChild = "TASKRUNNER_CHAOS_CHILD"

// childConfig is what a child is told at its start.
type childConfig struct {
	Name   string // tells it from all others
	Place  place  // where the tasks are
	Seed   uint64
	Cursor int64 // the last outcome that this slot was told of
	Skew   time.Duration
	Load   load
}

// load is how much a child does.
type load struct {
	Callers int           // goroutines that accept tasks
	Pause   time.Duration // of each between two calls, on the average
	Long    int           // share of tasks that take some seconds, in percent
}

// command is what the parent tells a child.
type command struct {
	Do    string        `json:"do"` // one of the constants below
	ID    string        `json:"id,omitempty"`
	Order *order        `json:"order,omitempty"`
	Skew  time.Duration `json:"skew,omitempty"`
}

// Commands.
const (
	doCancel = "cancel" // the task ID
	doRetry  = "retry"  // the task ID
	doAwait  = "await"  // the task ID
	doAsk    = "ask"    // for the task ID with this Order; somebody may have asked before
	doClock  = "clock"  // is wrong by Skew
	doRest   = "rest"   // accept nothing more
	doSettle = "settle" // say when nothing waits or runs
	doStop   = "stop"   // in order
)

// child is a process that accepts and runs tasks.
type child struct {
	*teller
	config childConfig
	clock  *skewed
	runner *actors.TaskRunner

	resting context.Context // ends when it accepts nothing more
	rest    context.CancelFunc
	asking  sync.WaitGroup // callers, and commands that are not answered
	tokens  tokens
	pace    pace
}

// runChild is the whole life of a child. Its parent's death ends it: what it was told by is gone then.
func runChild(ctx context.Context, config string) error {
	c := &child{teller: &teller{out: os.NewFile(3, "events")}}
	if err := json.Unmarshal([]byte(config), &c.config); err != nil {
		return fmt.Errorf("chaos: %s: %w", asChild, err)
	}
	c.tokens.process = c.config.Name
	c.resting, c.rest = context.WithCancel(ctx)
	if err := c.start(ctx); err != nil {
		c.tell(event{What: isBroken, Text: err.Error()})
		return err
	}
	go c.follow(ctx)
	go c.pace.keep(c.resting, c.clock)
	for i := range c.config.Load.Callers {
		c.asking.Add(1)
		go c.accept(rand.New(rand.NewPCG(c.config.Seed, uint64(i))))
	}
	return c.obey(ctx)
}

// start opens the store and starts the runner. While the store is away, it tries again.
func (c *child) start(ctx context.Context) error {
	for {
		err := c.tryStart(ctx)
		if err == nil || !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrFull) {
			return err
		}
		c.tell(event{What: isAway, Text: err.Error()})
		harness.Pause(ctx, 100*time.Millisecond)
	}
}

func (c *child) tryStart(ctx context.Context) (err error) {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("process", c.config.Name)
	system := actors.NewSystem(actors.SystemConfig{Logger: logger})
	opened, err := c.config.Place.open(ctx)
	if err != nil {
		return err
	}
	c.clock = &skewed{Store: opened}
	c.clock.offset.Store(int64(c.config.Skew))
	kept := actors.KeepForever
	c.runner, err = actors.StartTaskRunner(ctx, actors.TaskRunnerConfig{
		Name: runnerName, System: system, Store: c.clock, Logger: logger, HandleInfo: c.hear,
		MaxChildren: 24, MaxWaiting: 150, DrainTimeout: 50 * time.Millisecond, Grace: grace,
		Retention: actors.Retention{Completed: kept, Cancelled: kept, Discarded: kept},
		Kinds: actors.Kinds{
			actors.Kind(quick, c.work, actors.WithBackoff(actors.Backoff{Base: backoffMin, Max: backoffMax})),
			actors.Kind(slow, c.work, actors.WithBackoff(actors.Backoff{Base: backoffMin, Max: backoffMax})),
		},
	})
	if err != nil {
		return errors.Join(err, opened.Close())
	}
	c.tell(event{What: isReady, Text: system.Node()})
	return nil
}

// Names of the runner and of the kinds: there are two, so that claims are for more than one.
const (
	runnerName = "chaos"
	quick      = "chaos.quick"
	slow       = "chaos.slow"
)

// hear is the runner's HandleInfo.
func (c *child) hear(_ context.Context, message any) {
	switch m := message.(type) {
	case messages.Completed:
		c.tell(event{What: isHooked, ID: m.TaskID, Run: m.Run, State: store.Completed, Result: string(m.Result)})
	case messages.Cancelled:
		c.tell(event{What: isHooked, ID: m.TaskID, Run: m.Run, State: store.Cancelled})
	case messages.Failed:
		if m.Discarded() {
			c.tell(event{What: isHooked, ID: m.TaskID, Run: m.Run, State: store.Discarded})
		}
	}
}

// follow is a subscriber that goes on where its slot's last one was told to be. A store that does not answer ends the sequence, and it begins anew.
func (c *child) follow(ctx context.Context) {
	after := c.config.Cursor
	for ctx.Err() == nil {
		for t, err := range c.runner.Outcomes(ctx, after) {
			if err == nil {
				after = t.Pos
				c.tell(event{What: isOutcome, ID: t.ID, Run: t.Run, Attempt: t.Attempt, State: t.State, Pos: t.Pos, Result: string(t.Result)})
				continue
			}
			if errors.Is(err, store.ErrCursorExpired) || errors.Is(err, store.ErrCursorAhead) {
				c.tell(event{What: isBroken, Text: err.Error()})
			}
			if errors.Is(err, actors.ErrStopping) {
				return
			}
		}
		harness.Pause(ctx, 20*time.Millisecond)
	}
}

// obey does what the parent says, each command in a goroutine of its own, until it says to stop, or is gone.
func (c *child) obey(ctx context.Context) error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var m command
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return fmt.Errorf("chaos: the parent says %q: %w", lines.Bytes(), err)
		}
		switch m.Do {
		case doStop:
			return c.stop(ctx)
		case doClock:
			c.clock.offset.Store(int64(m.Skew))
		case doRest:
			c.rest()
			go func() {
				c.asking.Wait()
				c.tell(event{What: isRested})
			}()
		case doSettle:
			go c.settle(ctx)
		case doAwait:
			go c.await(ctx, m.ID)
		default:
			c.asking.Add(1)
			go c.command(ctx, m)
		}
	}
	return errors.New("chaos: the parent is gone")
}

func (c *child) command(ctx context.Context, m command) {
	defer c.asking.Done()
	switch m.Do {
	case doCancel:
		c.cancel(ctx, m.ID)
	case doRetry:
		c.retry(ctx, m.ID)
	case doAsk:
		c.ask(c.resting, *m.Order, m.ID)
	}
}

func (c *child) cancel(ctx context.Context, id string) {
	c.tell(event{What: isCancelling, ID: id})
	t, err := c.runner.Cancel(ctx, id)
	e := event{What: isCancelled, ID: id, Run: t.Run, State: t.State}
	if err != nil {
		e.Text = err.Error()
		c.mustKnow(doCancel, id, err)
	}
	c.tell(e)
}

// mustKnow: the parent sends only tasks that were accepted.
func (c *child) mustKnow(do, id string, err error) {
	if errors.Is(err, store.ErrNotFound) {
		c.tell(event{What: isBroken, Text: fmt.Sprintf("%s task %s, which was accepted: %v", do, id, err)})
	}
}

func (c *child) retry(ctx context.Context, id string) {
	c.tell(event{What: isRetrying, ID: id})
	t, err := c.runner.Retry(ctx, id)
	e := event{What: isRetried, ID: id, State: t.State}
	if err != nil {
		e.Text, e.Unsure = err.Error(), unsure(ctx, err)
		c.mustKnow(doRetry, id, err)
	}
	c.tell(e)
}

// unsure reports whether an error leaves open if what was asked for was done, as the documentation of actors.Run says it.
func unsure(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, store.ErrUnavailable)
}

// settle waits until no task waits or runs.
func (c *child) settle(ctx context.Context) {
	for harness.Pause(ctx, 20*time.Millisecond) {
		counts, err := c.clock.Counts(ctx, runnerName)
		if err != nil || counts[store.Available]+counts[store.Scheduled]+counts[store.Running]+counts[store.Retryable] > 0 {
			continue
		}
		last, err := c.clock.List(ctx, store.Query{Limit: 1})
		if err != nil {
			continue
		}
		e := event{What: isIdle}
		if len(last) > 0 {
			e.Pos = last[0].Pos
		}
		c.tell(e)
		return
	}
}

// stop stops in order.
func (c *child) stop(ctx context.Context) error {
	c.rest()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := errors.Join(c.runner.Stop(ctx), c.clock.Close()); err != nil {
		c.tell(event{What: isBroken, Text: "stop: " + err.Error()})
		return err
	}
	c.tell(event{What: isStopped})
	return nil
}
