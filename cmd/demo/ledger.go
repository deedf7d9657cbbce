package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/assets"
)

// maxClasses is how many kinds of reasons are counted one by one. Some have a name in them, and there is no end of names.
const maxClasses = 20

// ledger counts how moves end, and has each one that failed named with its reason. Safe for any goroutine. It prints under the
// lock: if nobody reads the output, the moves wait for the reader, and no line gets lost or into another one.
type ledger struct {
	screen *screen
	each   bool // those that arrive are named too

	mu sync.Mutex
	tally
}

func newLedger(screen *screen) *ledger {
	return &ledger{screen: screen, tally: tally{why: make(map[string]int)}}
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

// arrivalIn is that line with how long it took.
func (t tally) arrivalIn(took time.Duration) string {
	return fmt.Sprintf("%s in %s", t.arrival(), took.Round(time.Millisecond*100))
}

// verdict is the error that a move ends with: what has kept it from going on, or that not everything arrived.
func (t tally) verdict(err error) error {
	switch {
	case t.broken != nil:
		return errors.Join(err, other(t.broken))
	case err == nil && t.discarded+t.cancelled > 0:
		return &failure{exitFailed, errSilent}
	}
	return err
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

// now gives what is known. The map in it goes on changing until the last move has ended.
func (l *ledger) now() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tally
}

// arrival is what is needed of an assets.Moved, to read all of which takes three times as long.
type arrival struct {
	Copied   bool  `json:"copied"`
	Bytes    int64 `json:"bytes"`
	Attempts int   `json:"attempts"`
}

// arrive counts a move that has succeeded, by its result.
func (l *ledger) arrive(name string, result []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var moved arrival
	if err := json.Unmarshal(result, &moved); err != nil {
		l.broken = fmt.Errorf("the outcome of %s: %w", name, err)
		return
	}
	how := "copied"
	if moved.Copied {
		l.copied++
		l.bytes += moved.Bytes
	} else {
		l.unchanged++
		how = "unchanged"
	}
	if moved.Attempts > 1 {
		l.again++
		how += fmt.Sprintf(" at attempt %d", moved.Attempts)
	}
	if l.each {
		l.screen.printf("%-10s %s, %s\n", how, printable(name), size(moved.Bytes))
	}
}

// fail counts an asset that did not arrive, or could not even become a task.
func (l *ledger) fail(name, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	why = strings.TrimPrefix(why, "assets: ")
	l.discarded++
	kind := class(why)
	if _, known := l.why[kind]; !known && len(l.why) >= maxClasses {
		kind = "other reasons"
	}
	l.why[kind]++
	l.screen.printf("failed     %s: %s\n", printable(name), why)
}

// withdraw counts a move that somebody has cancelled.
func (l *ledger) withdraw(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancelled++
	l.screen.printf("cancelled  %s\n", printable(name))
}

// breaks notes why outcomes cannot be found out.
func (l *ledger) breaks(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = why
}

// reason is why a move failed, without its two URLs: the name beside it says which it is.
func reason(text string, move assets.Move) string {
	if text == "" {
		return "no reason is known"
	}
	source, _, _ := strings.Cut(move.Source, "?")
	destination, _, _ := strings.Cut(move.Destination, "?")
	return strings.Replace(strings.TrimPrefix(text, "assets: "), " "+source+" → "+destination, "", 1)
}

// class is what reasons have in common that differ in numbers: their first two parts, such as "downloading: wrong length".
func class(why string) string {
	parts := strings.SplitN(why, ": ", 3)
	return strings.Join(parts[:min(len(parts), 2)], ": ")
}
