package messages_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskrunner-go/taskrunner/messages"
)

// arrivedReason sends an error in a Failed.
func arrivedReason(t *testing.T, reason error) error {
	t.Helper()
	return travel(t, messages.Failed{TaskRef: someRef, Reason: reason}).(messages.Failed).Reason
}

func TestReasonsAnswerAsBefore(t *testing.T) {
	t.Parallel()
	sentinels := []error{
		messages.Normal, messages.Shutdown, messages.Killed, messages.NoProc, messages.ErrGoexit, context.Canceled, context.DeadlineExceeded,
	}
	for name, reason := range map[string]error{
		"plain":                errors.New("disk full"),
		"wrapped sentinel":     fmt.Errorf("a: %w", fmt.Errorf("b: %w", messages.Killed)),
		"wrapped goexit":       fmt.Errorf("a: %w", messages.ErrGoexit),
		"wrapped deadline":     fmt.Errorf("fetching: %w", context.DeadlineExceeded),
		"joined":               errors.Join(io.EOF, context.Canceled, fmt.Errorf("c: %w", messages.NoProc)),
		"two of one":           fmt.Errorf("%w and %w", messages.Killed, messages.Shutdown),
		"shutdown with":        fmt.Errorf("the end: %w", &messages.ShutdownWith{Value: []int{1, 2}}),
		"panic with an error":  &messages.PanicError{Value: fmt.Errorf("x: %w", context.Canceled), Stack: []byte("stack")},
		"wrapped panic":        fmt.Errorf("task: %w", &messages.PanicError{Value: 42, Stack: []byte("stack")}),
		"decision":             messages.RetryAfter(time.Minute, fmt.Errorf("503: %w", context.DeadlineExceeded)),
		"wrapped decision":     fmt.Errorf("task: %w", messages.Discard(io.EOF)),
		"decision in decision": messages.Cancel(messages.Snooze(time.Second)),
		"decision of a panic":  messages.Discard(&messages.PanicError{Value: messages.NoProc, Stack: []byte("s")}),
	} {
		got := arrivedReason(t, reason)
		if got.Error() != reason.Error() {
			t.Errorf("%s: the text is %q, was %q", name, got, reason)
		}
		for _, sentinel := range sentinels {
			if errors.Is(got, sentinel) != errors.Is(reason, sentinel) {
				t.Errorf("%s: errors.Is(arrived, %v) = %v", name, sentinel, errors.Is(got, sentinel))
			}
		}
		compareAs(t, name, got, reason)
	}
}

// compareAs compares what errors.As finds before and after.
func compareAs(t *testing.T, name string, got, sent error) {
	t.Helper()
	var panicGot, panicSent *messages.PanicError
	if errors.As(got, &panicGot) != errors.As(sent, &panicSent) {
		t.Errorf("%s: arrived with the panic %v, sent with %v", name, panicGot, panicSent)
	} else if panicSent != nil && (panicGot.Error() != panicSent.Error() || !bytes.Equal(panicGot.Stack, panicSent.Stack)) {
		t.Errorf("%s: the panic is %v (%s), was %v (%s)", name, panicGot, panicGot.Stack, panicSent, panicSent.Stack)
	}
	var decisionGot, decisionSent *messages.Decision
	if errors.As(got, &decisionGot) != errors.As(sent, &decisionSent) {
		t.Errorf("%s: arrived with the decision %v, sent with %v", name, decisionGot, decisionSent)
	} else if decisionSent != nil && (decisionGot.Verb != decisionSent.Verb || decisionGot.After != decisionSent.After) {
		t.Errorf("%s: the decision is %+v, was %+v", name, decisionGot, decisionSent)
	}
	var withGot, withSent *messages.ShutdownWith
	if errors.As(got, &withGot) != errors.As(sent, &withSent) {
		t.Errorf("%s: arrived with the shutdown %v, sent with %v", name, withGot, withSent)
	}
}

// odd is an error with methods that do what they must not.
type odd struct{ text, unwrap func() }

func (o odd) Error() string {
	if o.text != nil {
		o.text()
	}
	return "odd"
}

func (o odd) Unwrap() error {
	if o.unwrap != nil {
		o.unwrap()
	}
	return nil
}

// circle wraps itself.
type circle struct{}

func (c *circle) Error() string { return "circle" }
func (c *circle) Unwrap() error { return c }

func TestEveryReasonTravels(t *testing.T) {
	t.Parallel()
	boom := func() { panic("boom") }
	deep := error(messages.Killed)
	for range 1000 {
		deep = messages.Discard(deep)
	}
	for name, test := range map[string]struct {
		reason error
		text   string // how it begins
	}{
		"a text that panics":     {odd{text: boom}, "an error of type messages_test.odd, whose Error method panics: boom"},
		"an Unwrap that panics":  {odd{unwrap: boom}, "odd"},
		"a nil panic":            {(*messages.PanicError)(nil), "an error of type *messages.PanicError, whose"},
		"a nil decision":         {(*messages.Decision)(nil), "an error of type *messages.Decision, whose"},
		"a nil shutdown":         {fmt.Errorf("x: %w", (*messages.ShutdownWith)(nil)), "x: "},
		"a circle":               {&circle{}, "circle"},
		"a joined circle":        {errors.Join(&circle{}, messages.Killed), "circle"},
		"a thousand decisions":   {deep, "killed"},
		"an unknown verb":        {&messages.Decision{Verb: "explode", Err: messages.Killed}, "killed"},
		"waiting for the past":   {&messages.Decision{Verb: messages.VerbSnooze, After: -time.Hour}, "snooze"},
		"invalid UTF-8":          {errors.New("a\xffb"), "a\uFFFDb"},
		"an invalid exit reason": {messages.ExitReason("a\xffb"), "a\uFFFDb"},
		"10 MB":                  {errors.New(strings.Repeat("é", 5<<20)), "éééé"},
		"10 MB of stack":         {&messages.PanicError{Value: "x", Stack: bytes.Repeat([]byte("s"), 10<<20)}, "panic: x"},
		"10 MB of panic":         {&messages.PanicError{Value: strings.Repeat("x", 10<<20)}, "panic: xxx"},
	} {
		got := arrivedReason(t, test.reason)
		if !strings.HasPrefix(got.Error(), test.text) {
			t.Errorf("%s: arrived as %.100q, want %q", name, got, test.text)
		}
		if size := len(got.Error()); size > messages.MaxReasonText+len("panic: ") || !utf8.ValidString(got.Error()) {
			t.Errorf("%s: %d bytes, valid: %v", name, size, utf8.ValidString(got.Error()))
		}
	}
	if got := arrivedReason(t, errors.New(strings.Repeat("é", 5<<20))).Error(); !strings.HasSuffix(got, "é… (cut: 10485760 bytes in all)") {
		t.Errorf("what is cut does not say so: %q", got[len(got)-50:])
	}
	if got := arrivedReason(t, errors.Join(&circle{}, messages.Killed)); !errors.Is(got, messages.Killed) {
		t.Errorf("a circle hides what stands beside it: %v", got)
	}
}

func TestDecodeRefusesReasons(t *testing.T) {
	t.Parallel()
	other := func(causes ...*messages.WireReason) *messages.WireReason {
		return &messages.WireReason{Code: messages.WireReason_CODE_OTHER, Causes: causes}
	}
	deep := other()
	for range messages.MaxReasonNodes {
		deep = other(deep)
	}
	wide := other()
	for range messages.MaxReasonNodes {
		wide.Causes = append(wide.Causes, other())
	}
	decision := messages.WireReason_CODE_DECISION
	for name, test := range map[string]struct {
		reason *messages.WireReason
		want   error
		text   string
	}{
		"none":            {nil, messages.ErrInvalid, "Reason"},
		"no code":         {&messages.WireReason{}, messages.ErrInvalid, "code"},
		"deep":            {deep, messages.ErrTooLarge, "MaxReasonNodes"},
		"wide":            {wide, messages.ErrTooLarge, "MaxReasonNodes"},
		"a long text":     {&messages.WireReason{Code: decision, Text: strings.Repeat("x", messages.MaxReasonText+1)}, messages.ErrTooLarge, "MaxReasonText"},
		"a long stack":    {&messages.WireReason{Code: decision, Stack: make([]byte, messages.MaxReasonText+1)}, messages.ErrTooLarge, "MaxReasonText"},
		"no verb":         {&messages.WireReason{Code: decision}, messages.ErrInvalid, "verb"},
		"a long wait":     {&messages.WireReason{Code: decision, Verb: 1, After: &durationpb.Duration{Seconds: 1 << 60}}, messages.ErrInvalid, "after"},
		"a past":          {&messages.WireReason{Code: decision, Verb: 1, After: &durationpb.Duration{Seconds: -1}}, messages.ErrInvalid, "after"},
		"too many causes": {&messages.WireReason{Code: decision, Verb: 1, Causes: []*messages.WireReason{other(), other()}}, messages.ErrInvalid, "causes"},
	} {
		body, err := proto.Marshal(&messages.WireDown{Reason: test.reason})
		if err != nil {
			t.Fatal(err)
		}
		_, err = messages.Decode(&messages.Envelope{Kind: "down", SchemaVersion: 1, Body: body})
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: got the error %v, want %v with %q", name, err, test.want, test.text)
		}
	}
}

func TestDecodeReadsAReasonFromTheFuture(t *testing.T) {
	t.Parallel()
	killed := []*messages.WireReason{{Code: messages.WireReason_CODE_EXIT, Text: "killed"}}
	for name, wire := range map[string]*messages.WireReason{
		"code": {Code: 99, Text: "paused: killed", Causes: killed},
		"verb": {Code: messages.WireReason_CODE_DECISION, Verb: 99, Text: "paused: killed", Causes: killed},
	} {
		body, err := proto.Marshal(&messages.WireDown{Reason: wire})
		if err != nil {
			t.Fatal(err)
		}
		message, err := messages.Decode(&messages.Envelope{Kind: "down", SchemaVersion: 1, Body: body})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if reason := message.(messages.Down).Reason; reason.Error() != "paused: killed" || !errors.Is(reason, messages.Killed) {
			t.Errorf("%s: arrived as %v", name, reason)
		}
	}
}

// A body of a million empty causes must be refused before it becomes a million objects. Not parallel: it counts what
// the process allocates.
func TestDecodeRefusesABombCheaply(t *testing.T) {
	causes := bytes.Repeat([]byte{0x32, 0x00}, messages.MaxBody/2-20) // field 6, no bytes
	body := append([]byte{0x1a}, append(protoLength(len(causes)), causes...)...)
	envelope := &messages.Envelope{Kind: "down", SchemaVersion: 1, Body: body}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := messages.Decode(envelope)
	runtime.ReadMemStats(&after)
	bytesUsed := after.TotalAlloc - before.TotalAlloc
	if !errors.Is(err, messages.ErrTooLarge) || bytesUsed > 64<<10 {
		t.Errorf("Decode of %d bytes used %d bytes and answered %v", len(body), bytesUsed, err)
	}
}

// protoLength writes a length as protobuf does.
func protoLength(n int) []byte {
	var out []byte
	for ; n >= 0x80; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(out, byte(n))
}
