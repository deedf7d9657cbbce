package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// signalError is why the program ends: somebody asked it to.
type signalError struct{ signal os.Signal }

func (e *signalError) Error() string {
	switch e.signal {
	case os.Interrupt:
		return "ended by Ctrl-C (SIGINT) before it was done"
	case syscall.SIGHUP:
		return "ended by SIGHUP before it was done"
	default:
		return "ended by SIGTERM before it was done"
	}
}

// code is what shells say of a program that the signal ended.
func (e *signalError) code() int {
	if number, ok := e.signal.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return exitOther
}

// withSignals gives a context that the first SIGINT, SIGTERM or SIGHUP ends, with a *signalError as its cause. The second
// one ends the program at once, for whoever does not want to wait. stop gives the signals back and ends the goroutine.
func withSignals(parent context.Context, stderr io.Writer) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	// Two places: a second Ctrl-C right behind the first is not to be dropped.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, caught()...)
	// Whoever no longer reads what we print (demo move … | head) must not end the moves half way.
	signal.Ignore(syscall.SIGPIPE)
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for seen := 0; ; seen++ {
			select {
			case s := <-signals:
				if seen > 0 {
					_, _ = fmt.Fprintln(stderr, "\ndemo: stopped at once")
					os.Exit((&signalError{s}).code())
				}
				cancel(&signalError{s})
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

// asked reports whether ctx ended because of a signal.
func asked(ctx context.Context) bool {
	var signalled *signalError
	return errors.As(context.Cause(ctx), &signalled)
}
