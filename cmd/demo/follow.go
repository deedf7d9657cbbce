package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/store"
)

const (
	// maxClasses is how many kinds of reasons are counted one by one. Some have a name in them, and there is no end of names.
	maxClasses = 20
	// followBatch is how many moves the database is asked about at once.
	followBatch = 256
	// followRest is how long outcomes gather before they are read. Where each has a commit of its own, to read each by a
	// question of its own would cost the database as much again.
	followRest = 25 * time.Millisecond
	// followAgain is how long the follower waits before it asks a database again that did not answer.
	followAgain = 500 * time.Millisecond
)

// follower reads how the moves end that it is to follow, counts that, and has each one that failed named with its reason. It is
// one goroutine: to await each of some thousands of moves in one of its own takes 60 MB for their stacks.
type follower struct {
	db     store.Reader
	screen *screen
	slots  chan struct{}           // one for each move that is followed
	each   bool                    // those that arrive are named too
	cancel context.CancelCauseFunc // ends the reading
	gone   chan struct{}           // closed when nothing is read any more
	ended  sync.WaitGroup          // the moves that are followed

	mu   sync.Mutex
	open map[string]followed // by id; nil when nothing is read any more
	tally
}

// followed is a move whose end is not known.
type followed struct {
	move assets.Move
	name string
}

// tally is how moves have ended.
type tally struct {
	copied    int
	unchanged int
	discarded int
	cancelled int
	again     int            // arrived, but not at the first attempt
	bytes     int64          // that were copied
	why       map[string]int // the discarded ones by reason
	broken    error          // why the outcome of a move could not be found out
}

// arrived is what the user wanted: whether it had to be copied for that is another question.
func (t tally) arrived() int { return t.copied + t.unchanged }
func (t tally) ended() int   { return t.arrived() + t.discarded + t.cancelled }

// sum is the last line of the demo, which scripts may read.
func (t tally) sum() string {
	sum := fmt.Sprintf("%d completed, %d discarded", t.arrived(), t.discarded)
	if t.cancelled > 0 {
		sum += fmt.Sprintf(", %d cancelled", t.cancelled)
	}
	return sum
}

// arrival is the last line of a move.
func (t tally) arrival() string {
	text := fmt.Sprintf("%d arrived (%d copied, %d unchanged)", t.arrived(), t.copied, t.unchanged)
	if failed := t.discarded + t.cancelled; failed > 0 {
		text += fmt.Sprintf(", %d did not", failed)
	}
	return text + ", " + size(t.bytes)
}

// table says how the moves have ended, and why those were discarded that were.
func (t tally) table() string {
	var b strings.Builder
	row := func(what string, count int, more string) {
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("%-10s %5d   %s", what, count, more), " "))
	}
	row("copied", t.copied, size(t.bytes))
	row("unchanged", t.unchanged, "")
	row("discarded", t.discarded, "")
	for _, why := range slices.SortedFunc(maps.Keys(t.why), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.why[b], t.why[a]), cmp.Compare(a, b))
	}) {
		row("", t.why[why], why)
	}
	if t.cancelled > 0 {
		row("cancelled", t.cancelled, "")
	}
	if t.again > 0 {
		fmt.Fprintf(&b, "%d arrived at a second or later attempt\n", t.again)
	}
	return b.String()
}

// newFollower makes a follower that follows at most so many moves at a time, and followBatch at least; whoever adds more
// waits.
func newFollower(screen *screen, limit int) *follower {
	return &follower{
		screen: screen, slots: make(chan struct{}, max(limit, followBatch)), gone: make(chan struct{}),
		open: make(map[string]followed), tally: tally{why: make(map[string]int)},
	}
}

// start begins to read the outcomes of a runner that come from now on. Whoever starts it calls settle.
func (f *follower) start(ctx context.Context, db store.Reader, runner *actors.TaskRunner) error {
	now, err := db.Outcomes(ctx, store.OutcomeQuery{Runner: runner.Name(), After: store.FromNow})
	if err != nil {
		return err
	}
	// ctx may be a signal's, and what runs then may still finish.
	reading, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	f.db, f.cancel = db, cancel
	go func() {
		defer close(f.gone)
		f.giveUp(f.read(reading, runner, now.Next))
	}()
	return nil
}

// settle returns when all that a stopped runner has recorded is counted, or ctx ends. The database must be open until then.
func (f *follower) settle(ctx context.Context) error {
	if f.cancel == nil {
		return nil // never started
	}
	defer f.cancel(nil)
	select {
	case <-f.gone:
		return nil
	case <-ctx.Done():
		f.cancel(context.Cause(ctx))
		<-f.gone
		return context.Cause(ctx)
	}
}

// read counts outcomes until no more will come, and gives why. A database that does not answer is asked again.
func (f *follower) read(ctx context.Context, runner *actors.TaskRunner, after int64) error {
	for {
		var err error
		after, err = f.countFrom(ctx, runner.Name(), after)
		if err == nil {
			err = awaitNext(ctx, runner, after)
		}
		rest := followRest
		switch {
		case errors.Is(err, actors.ErrStopping), errors.Is(err, store.ErrCursorExpired), errors.Is(err, store.ErrCursorAhead):
			return err
		case err != nil:
			rest = followAgain
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// countFrom counts the outcomes that there are behind the cursor, and gives the new one.
func (f *follower) countFrom(ctx context.Context, runner string, after int64) (int64, error) {
	for {
		page, err := f.db.Outcomes(ctx, store.OutcomeQuery{Runner: runner, After: after, Limit: store.MaxList})
		if err != nil || page.Next == after {
			return after, err
		}
		for _, task := range page.Tasks {
			f.count(task)
		}
		after = page.Next
	}
}

// awaitNext returns when there is an outcome behind the cursor, or an error when there will be none.
func awaitNext(ctx context.Context, runner *actors.TaskRunner, after int64) error {
	for _, err := range runner.Outcomes(ctx, after) {
		return err
	}
	return nil
}

// giveUp lets go of the moves whose outcomes will not be known.
func (f *follower) giveUp(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.open) > 0 && why != actors.ErrStopping { //nolint:errorlint // more than that: something kept the last outcomes from being read
		f.broken = why
	}
	for range f.open {
		<-f.slots
		f.ended.Done()
	}
	f.open = nil
}

// follow has the ends of recorded moves counted, of those too that have ended already. With ctx ends only the waiting for room.
func (f *follower) follow(ctx context.Context, moves []recorded, nameOf func(assets.Move) string) error {
	for batch := range slices.Chunk(moves, followBatch) {
		ids := f.addAll(ctx, batch, nameOf)
		// Only now: what ends later is read.
		ended, err := f.db.Ended(context.WithoutCancel(ctx), ids)
		for _, task := range ended {
			f.count(task)
		}
		if err != nil || len(ids) < len(batch) {
			return err
		}
	}
	return nil
}

// addAll gives the ids of those that it has added before ctx ended.
func (f *follower) addAll(ctx context.Context, moves []recorded, nameOf func(assets.Move) string) (ids []string) {
	for _, m := range moves {
		select {
		case f.slots <- struct{}{}:
		case <-ctx.Done():
			return ids
		}
		f.add(m, nameOf(m.move))
		ids = append(ids, m.id)
	}
	return ids
}

// add follows one more move. Its end need not be known yet.
func (f *follower) add(m recorded, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, twice := f.open[m.id]; twice || f.open == nil {
		<-f.slots
		return
	}
	f.ended.Add(1)
	f.open[m.id] = followed{move: m.move, name: name}
}

// wait returns when every move has ended, or the runner has stopped.
func (f *follower) wait() tally {
	f.ended.Wait()
	return f.now()
}

// now gives what is known. The map in it goes on changing until wait has returned.
func (f *follower) now() tally {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tally
}

// count counts the end of a task, if it is a move that is followed. It prints under the lock: if nobody reads the output, the
// moves wait for the reader, and no line gets lost or into another one.
func (f *follower) count(t store.Task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.open[t.ID]
	if !ok {
		return // another process's, or counted already
	}
	delete(f.open, t.ID)
	<-f.slots
	defer f.ended.Done()
	switch t.State {
	case store.Completed:
		f.arrive(t.Result, m.name)
	case store.Cancelled:
		f.cancelled++
		f.screen.printf("cancelled  %s\n", printable(m.name))
	default:
		f.discard(m.name, reason(t, m.move))
	}
}

// arrival is what is needed of an assets.Moved, to read all of which takes three times as long.
type arrival struct {
	Copied   bool  `json:"copied"`
	Bytes    int64 `json:"bytes"`
	Attempts int   `json:"attempts"`
}

// arrive is called with the lock.
func (f *follower) arrive(result []byte, name string) {
	var moved arrival
	if err := json.Unmarshal(result, &moved); err != nil {
		f.broken = fmt.Errorf("the outcome of %s: %w", name, err)
		return
	}
	how := "copied"
	if moved.Copied {
		f.copied++
		f.bytes += moved.Bytes
	} else {
		f.unchanged++
		how = "unchanged"
	}
	if moved.Attempts > 1 {
		f.again++
		how += fmt.Sprintf(" at attempt %d", moved.Attempts)
	}
	if f.each {
		f.screen.printf("%-10s %s, %s\n", how, printable(name), size(moved.Bytes))
	}
}

// fail counts an asset that could not even become a task.
func (f *follower) fail(name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.discard(name, strings.TrimPrefix(err.Error(), "assets: "))
}

// discard is called with the lock.
func (f *follower) discard(name, why string) {
	f.discarded++
	kind := class(why)
	if _, known := f.why[kind]; !known && len(f.why) >= maxClasses {
		kind = "other reasons"
	}
	f.why[kind]++
	f.screen.printf("failed     %s: %s\n", printable(name), why)
}

// reason is why a move failed, without its two URLs: the name beside it says which it is.
func reason(t store.Task, move assets.Move) string {
	if len(t.History) == 0 || t.History[len(t.History)-1].Error == "" {
		return "no reason is known"
	}
	text := strings.TrimPrefix(t.History[len(t.History)-1].Error, "assets: ")
	source, _, _ := strings.Cut(move.Source, "?")
	destination, _, _ := strings.Cut(move.Destination, "?")
	return strings.Replace(text, " "+source+" → "+destination, "", 1)
}

// class is what reasons have in common that differ in numbers: their first two parts, such as "downloading: wrong length".
func class(why string) string {
	parts := strings.SplitN(why, ": ", 3)
	return strings.Join(parts[:min(len(parts), 2)], ": ")
}
