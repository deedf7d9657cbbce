package messages_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/taskrunner-go/taskrunner/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestExitReasons(t *testing.T) {
	t.Parallel()
	shutdownWith := &messages.ShutdownWith{Value: 42}
	for _, test := range []struct {
		reason   error
		text     string
		clean    bool
		shutdown bool
	}{
		{messages.Normal, "normal", true, false},
		{messages.Shutdown, "shutdown", true, true},
		{shutdownWith, "shutdown: 42", true, true},
		{fmt.Errorf("last child: %w", shutdownWith), "last child: shutdown: 42", true, true},
		{messages.Killed, "killed", false, false},
		{messages.NoProc, "noproc", false, false},
		{messages.ErrGoexit, messages.ErrGoexit.Error(), false, false},
		{io.EOF, "EOF", false, false},
		{&messages.PanicError{Value: messages.Shutdown}, "panic: shutdown", false, true},
		{nil, "", false, false},
	} {
		if got := messages.IsClean(test.reason); got != test.clean {
			t.Errorf("IsClean(%v) = %v", test.reason, got)
		}
		if got := errors.Is(test.reason, messages.Shutdown); got != test.shutdown {
			t.Errorf("errors.Is(%v, Shutdown) = %v", test.reason, got)
		}
		if test.reason != nil && test.reason.Error() != test.text {
			t.Errorf("Error() = %q, want %q", test.reason, test.text)
		}
	}
}

func TestPanicErrorFindsTheErrorItPanickedWith(t *testing.T) {
	t.Parallel()
	withError := &messages.PanicError{Value: fmt.Errorf("reading: %w", io.ErrUnexpectedEOF)}
	if !errors.Is(withError, io.ErrUnexpectedEOF) || withError.Error() != "panic: reading: unexpected EOF" {
		t.Errorf("a panic with an error: %v", withError)
	}
	withText := &messages.PanicError{Value: "boom"}
	if withText.Unwrap() != nil || withText.Error() != "panic: boom" {
		t.Errorf("a panic with a text: %v wraps %v", withText, withText.Unwrap())
	}
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	cause := errors.New("no such file")
	for _, test := range []struct {
		err  error
		want messages.Decision
		text string
	}{
		{messages.Retry(cause), messages.Decision{Verb: messages.VerbRetry, Err: cause}, "no such file"},
		{messages.RetryAfter(time.Minute, cause), messages.Decision{Verb: messages.VerbRetry, After: time.Minute, Err: cause}, "no such file"},
		{messages.RetryAfter(-1, cause), messages.Decision{Verb: messages.VerbRetry, Err: cause}, "no such file"},
		{messages.Snooze(time.Hour), messages.Decision{Verb: messages.VerbSnooze, After: time.Hour}, "snooze for 1h0m0s"},
		{messages.Snooze(-time.Hour), messages.Decision{Verb: messages.VerbSnooze}, "snooze"},
		{messages.Cancel(nil), messages.Decision{Verb: messages.VerbCancel}, "cancel"},
		{messages.Discard(cause), messages.Decision{Verb: messages.VerbDiscard, Err: cause}, "no such file"},
	} {
		wrapped := fmt.Errorf("moving: %w", test.err)
		var got *messages.Decision
		if !errors.As(wrapped, &got) || *got != test.want {
			t.Errorf("%v is %+v, want %+v", test.err, got, test.want)
		}
		if test.err.Error() != test.text {
			t.Errorf("Error() = %q, want %q", test.err, test.text)
		}
		if test.want.Err != nil && !errors.Is(wrapped, cause) {
			t.Errorf("%v does not wrap its cause", test.err)
		}
	}
}

func TestPIDAndNameStrings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		target messages.Target
		want   string
	}{
		{messages.PID{}, "<none>"},
		{messages.PID{Node: "n1", ID: 42}, "<n1.42>"},
		{messages.PID{Node: "n1"}, "<n1.0>"},
		{messages.Name("assets"), "assets"},
	} {
		if got := test.target.String(); got != test.want {
			t.Errorf("String() = %q, want %q", got, test.want)
		}
	}
	if !(messages.PID{}).IsZero() || (messages.PID{ID: 1}).IsZero() || (messages.PID{Node: "n"}).IsZero() {
		t.Error("IsZero is true for the zero PID and no other")
	}
}

func TestALogShowsNoArgumentsOfARun(t *testing.T) {
	t.Parallel()
	run := messages.Run{TaskID: "0198", Kind: "mail", Args: []byte("hunter2"), MaxAttempts: 3}
	for _, v := range []any{run, &run} {
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("refused", "run", v)
		if want := "msg=refused run.task=0198 run.kind=mail run.args_bytes=7\n"; !strings.HasSuffix(log.String(), want) {
			t.Errorf("logged %s, want %s", log.String(), want)
		}
	}
}

func TestFailedIsDiscardedWithoutAnotherRun(t *testing.T) {
	t.Parallel()
	if !(messages.Failed{Reason: context.DeadlineExceeded}).Discarded() {
		t.Error("a Failed without RetryAt will not run again")
	}
	if (messages.Failed{RetryAt: time.Unix(1, 0)}).Discarded() {
		t.Error("a Failed with RetryAt runs again")
	}
}
