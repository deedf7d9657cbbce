package main

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestOrders(t *testing.T) {
	t.Parallel()
	type heard struct {
		signal os.Signal
		after  time.Duration // the first
		want   order
	}
	term := os.Signal(syscall.SIGTERM)
	for name, signals := range map[string][]heard{
		"two from timeout":     {{term, 0, orderStop}, {term, time.Millisecond, orderNone}},
		"and one by hand":      {{term, 0, orderStop}, {term, time.Millisecond, orderNone}, {term, time.Second, orderAtOnce}},
		"just before":          {{term, 0, orderStop}, {term, sameWish - 1, orderNone}},
		"just behind":          {{term, 0, orderStop}, {term, sameWish, orderAtOnce}},
		"Ctrl-C hammered":      {{interrupt, 0, orderStop}, {interrupt, sameWish / 2, orderNone}, {interrupt, sameWish - 1, orderNone}, {interrupt, sameWish, orderAtOnce}},
		"another one":          {{interrupt, 0, orderStop}, {term, time.Millisecond, orderAtOnce}},
		"another one, ignored": {{interrupt, 0, orderStop}, {interrupt, time.Millisecond, orderNone}, {term, 2 * time.Millisecond, orderAtOnce}},
	} {
		var o orders
		began := time.Now()
		for i, s := range signals {
			if got := o.take(s.signal, began.Add(s.after)); got != s.want {
				t.Errorf("%s: signal %d means %d, want %d", name, i, got, s.want)
			}
		}
	}
}

func TestEndedBy(t *testing.T) {
	t.Parallel()
	for signal, want := range map[os.Signal]string{interrupt: "Ctrl-C (SIGINT)", syscall.SIGTERM: "SIGTERM", syscall.SIGHUP: "SIGHUP"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(&signalError{signal})
		if got := endedBy(ctx); got != want {
			t.Errorf("ended by %q, want %q", got, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := endedBy(ctx); got != context.Canceled.Error() {
		t.Errorf("ended by %q", got)
	}
}
