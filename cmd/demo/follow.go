package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/store"
)

// maxClasses is how many kinds of reasons are counted one by one. Some have a name in them, and there is no end of names.
const maxClasses = 20

// follower awaits moves, counts how they end, and has each one that failed named with its reason.
type follower struct {
	runner *actors.TaskRunner
	screen *screen
	slots  chan struct{} // one for each move that is awaited
	each   bool          // those that arrive are named too
	group  sync.WaitGroup

	mu sync.Mutex
	tally
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

// newFollower makes a follower that awaits at most so many moves at a time; whoever adds more waits.
func newFollower(runner *actors.TaskRunner, screen *screen, limit int) *follower {
	f := &follower{runner: runner, screen: screen, slots: make(chan struct{}, limit)}
	f.why = make(map[string]int)
	return f
}

// follow has the end of a recorded move awaited. That does not end with ctx, which may be a signal's: the runner lets
// running moves finish, and when it stops, it tells all who wait. With ctx ends only the waiting for a slot.
func (f *follower) follow(ctx context.Context, id string, move assets.Move, name string) {
	select {
	case f.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	ctx = context.WithoutCancel(ctx)
	f.group.Go(func() {
		moved, err := actors.Await[assets.Moved](ctx, f.runner, id)
		f.count(moved, err, move, name)
		<-f.slots
	})
}

// wait returns when every move has ended, or the runner has stopped.
func (f *follower) wait() tally {
	f.group.Wait()
	return f.now()
}

// now gives what is known. The map in it goes on changing until wait has returned.
func (f *follower) now() tally {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tally
}

// count prints under the lock: if nobody reads the output, the moves wait for the reader, and no line gets lost or into
// another one.
func (f *follower) count(moved assets.Moved, err error, move assets.Move, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ended *actors.TaskError
	switch {
	case err == nil:
		f.arrive(moved, name)
	case errors.As(err, &ended) && ended.State == store.Cancelled:
		f.cancelled++
		f.screen.printf("cancelled  %s\n", printable(name))
	case errors.As(err, &ended):
		f.discard(name, reason(ended.Err, move))
	case !errors.Is(err, actors.ErrStopping): // those that had not ended when the runner stopped are in nobody's count
		f.broken = err
	}
}

// arrive is called with the lock.
func (f *follower) arrive(moved assets.Moved, name string) {
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
func reason(err error, move assets.Move) string {
	if err == nil {
		return "no reason is known"
	}
	text := strings.TrimPrefix(err.Error(), "assets: ")
	source, _, _ := strings.Cut(move.Source, "?")
	destination, _, _ := strings.Cut(move.Destination, "?")
	return strings.Replace(text, " "+source+" → "+destination, "", 1)
}

// class is what reasons have in common that differ in numbers: their first two parts, such as "downloading: wrong length".
func class(why string) string {
	parts := strings.SplitN(why, ": ", 3)
	return strings.Join(parts[:min(len(parts), 2)], ": ")
}
