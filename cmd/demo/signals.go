package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameWish is for how long the same signal again is the same wish: timeout sends two within a millisecond, to the program
// and to its group. A person who presses Ctrl-C twice in that time presses it a third time.
const sameWish = 500 * time.Millisecond

// signalError is why the program ends: somebody asked it to.
type signalError struct{ signal os.Signal }

func (e *signalError) Error() string { return "ended by " + e.name() + " before it was done" }

func (e *signalError) name() string {
	switch e.signal {
	case os.Interrupt:
		return "Ctrl-C (SIGINT)"
	case syscall.SIGHUP:
		return "SIGHUP"
	default:
		return "SIGTERM"
	}
}

// code is what shells say of a program that the signal ended.
func (e *signalError) code() int {
	if number, ok := e.signal.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return exitOther
}

// order is what a signal means.
type order int

const (
	orderStop   order = iota // in order
	orderNone                // it is known already
	orderAtOnce              // somebody does not want to wait
)

// orders remembers the first signal.
type orders struct {
	first os.Signal
	at    time.Time
}

func (o *orders) take(s os.Signal, now time.Time) order {
	switch {
	case o.first == nil:
		o.first, o.at = s, now
		return orderStop
	case s == o.first && now.Sub(o.at) < sameWish:
		return orderNone
	default:
		return orderAtOnce
	}
}

// withSignals gives a context that the first SIGINT, SIGTERM or SIGHUP ends, with a *signalError as its cause. The second
// one ends the program at once, unless it is the same within sameWish. stop gives the signals back and ends the goroutine.
func withSignals(parent context.Context, stderr io.Writer) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	// Two places: another signal right behind the first is not to be dropped.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, caught()...)
	// Whoever no longer reads what we print (demo move … | head) must not end the moves half way.
	signal.Ignore(syscall.SIGPIPE)
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		var seen orders
		for {
			select {
			case s := <-signals:
				switch seen.take(s, time.Now()) {
				case orderStop:
					cancel(&signalError{s})
				case orderAtOnce:
					_, _ = fmt.Fprintln(stderr, "\ndemo: stopped at once")
					os.Exit((&signalError{s}).code())
				}
			case <-quit:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		signal.Reset(syscall.SIGPIPE)
		close(quit)
		<-gone
		cancel(nil)
	}
}

// caught leaves SIGHUP alone where it is ignored: the program was started with nohup, and is to outlive its terminal.
func caught() []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// endedBy names what has ended ctx, for who is never done and so not ended before it was.
func endedBy(ctx context.Context) string {
	if signalled, ok := errors.AsType[*signalError](context.Cause(ctx)); ok {
		return signalled.name()
	}
	return context.Cause(ctx).Error()
}

// asked reports whether ctx ended because of a signal.
func asked(ctx context.Context) bool {
	var signalled *signalError
	return errors.As(context.Cause(ctx), &signalled)
}
