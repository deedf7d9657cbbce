package messages_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/messages"
)

const someID = "0190d3a8-7c1e-7b3f-9a55-0242ac120002"

var someRef = messages.TaskRef{TaskID: someID, Kind: "asset.move", Runner: "assets", Run: 7, Attempt: 2, MaxAttempts: 5}

// travel encodes, marshals, unmarshals and decodes.
func travel(t interface {
	Helper()
	Fatalf(string, ...any)
}, message any) any {
	t.Helper()
	envelope, err := messages.Encode(message)
	if err != nil {
		t.Fatalf("Encode(%T): %v", message, err)
	}
	data, err := proto.Marshal(envelope)
	if err != nil {
		t.Fatalf("marshalling the envelope: %v", err)
	}
	arrived := &messages.Envelope{}
	if err := proto.Unmarshal(data, arrived); err != nil {
		t.Fatalf("unmarshalling the envelope: %v", err)
	}
	back, err := messages.Decode(arrived)
	if err != nil {
		t.Fatalf("Decode of an encoded %T: %v", message, err)
	}
	return back
}

// The generators give what may be sent.
var (
	genName = rapid.StringN(1, 40, messages.MaxName).Filter(func(s string) bool {
		return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 })
	})
	genTime = rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-60_000_000_000, 250_000_000_000).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
	genRef = rapid.Custom(func(t *rapid.T) messages.TaskRef {
		return messages.TaskRef{
			TaskID: rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`).Draw(t, "id"),
			Kind:   rapid.OneOf(rapid.Just(""), genName).Draw(t, "kind"), Runner: genName.Draw(t, "runner"),
			Run:     rapid.Int64Min(0).Draw(t, "run"),
			Attempt: rapid.IntRange(0, math.MaxInt32).Draw(t, "attempt"), MaxAttempts: rapid.IntRange(0, math.MaxInt32).Draw(t, "max"),
		}
	})
	// genReason gives errors that come back as they were; TestReasons looks at the others.
	genReason = rapid.Custom(func(t *rapid.T) error {
		var decision error
		if rapid.Bool().Draw(t, "caused") {
			decision = messages.Killed
		}
		return rapid.SampledFrom([]error{
			messages.Normal, messages.Shutdown, messages.Killed, messages.NoProc, messages.ErrGoexit,
			messages.ExitReason(rapid.String().Draw(t, "exit")),
			context.Canceled, context.DeadlineExceeded,
			&messages.ShutdownWith{Value: rapid.String().Draw(t, "value")},
			&messages.PanicError{Value: rapid.String().Draw(t, "panic"), Stack: []byte("goroutine 1 [running]:")},
			&messages.PanicError{Value: messages.NoProc},
			&messages.Decision{
				Verb:  rapid.SampledFrom([]messages.Verb{messages.VerbRetry, messages.VerbSnooze, messages.VerbCancel, messages.VerbDiscard}).Draw(t, "verb"),
				After: time.Duration(rapid.Int64Min(0).Draw(t, "after")),
				Err:   decision,
			},
		}).Draw(t, "reason")
	})
	genBytes = rapid.SliceOfN(rapid.Byte(), 1, 100)
)

var someTrace = map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}

func TestWhatIsSentArrives(t *testing.T) {
	t.Parallel()
	generators := map[string]func(*rapid.T) any{
		"run": func(t *rapid.T) any {
			ref := genRef.Draw(t, "ref")
			return messages.Run{
				TaskID: ref.TaskID, Kind: genName.Draw(t, "kind"), Args: genBytes.Draw(t, "args"), ScheduledAt: genTime.Draw(t, "at"),
				MaxAttempts: ref.MaxAttempts, Timeout: time.Duration(rapid.Int64Min(0).Draw(t, "timeout")), Priority: rapid.IntRange(0, 9).Draw(t, "priority"),
				TraceContext: rapid.SampledFrom([]map[string]string{nil, someTrace}).Draw(t, "trace"),
			}
		},
		"completed": func(t *rapid.T) any {
			results := rapid.OneOf(genBytes, rapid.Just([]byte(nil)), rapid.Just([]byte{})) // nil is a plain func's
			return messages.Completed{
				TaskRef: genRef.Draw(t, "ref"), Result: results.Draw(t, "result"),
				StartedAt: genTime.Draw(t, "started"), FinishedAt: genTime.Draw(t, "finished"),
			}
		},
		"failed": func(t *rapid.T) any {
			return messages.Failed{
				TaskRef: genRef.Draw(t, "ref"), Reason: genReason.Draw(t, "reason"), RetryAt: genTime.Draw(t, "retry"),
				StartedAt: genTime.Draw(t, "started"), FinishedAt: genTime.Draw(t, "finished"),
			}
		},
		"cancelled": func(t *rapid.T) any {
			return messages.Cancelled{TaskRef: genRef.Draw(t, "ref"), Reason: genReason.Draw(t, "reason"), FinishedAt: genTime.Draw(t, "finished")}
		},
		"snoozed": func(t *rapid.T) any {
			return messages.Snoozed{TaskRef: genRef.Draw(t, "ref"), Until: genTime.Draw(t, "until")}
		},
		"progress": func(t *rapid.T) any {
			return messages.Progress{TaskRef: genRef.Draw(t, "ref"), Fraction: rapid.Float64Range(0, 1).Draw(t, "fraction")}
		},
		"down": func(t *rapid.T) any {
			pid := messages.PID{}
			if rapid.Bool().Draw(t, "known") {
				pid = messages.PID{Node: genName.Draw(t, "node"), ID: rapid.Uint64Min(1).Draw(t, "id")}
			}
			return messages.Down{Ref: messages.Ref(rapid.Uint64().Draw(t, "ref")), PID: pid, Reason: genReason.Draw(t, "reason")}
		},
	}
	for kind, generate := range generators {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				sent := generate(t)
				if got := travel(t, sent); !reflect.DeepEqual(got, sent) {
					t.Fatalf("sent    %#v\narrived %#v", sent, got)
				}
			})
		})
	}
}

func TestEnvelopeNamesKindAndTask(t *testing.T) {
	t.Parallel()
	for kind, message := range map[string]any{
		"run": messages.Run{TaskID: someID, Kind: "k"}, "completed": messages.Completed{TaskRef: someRef},
		"failed": messages.Failed{TaskRef: someRef, Reason: io.EOF}, "cancelled": messages.Cancelled{TaskRef: someRef},
		"snoozed": messages.Snoozed{TaskRef: someRef}, "progress": messages.Progress{TaskRef: someRef},
		"down": messages.Down{Reason: messages.NoProc},
	} {
		envelope, err := messages.Encode(message)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		wantID := someID
		if kind == "down" {
			wantID = ""
		}
		if envelope.GetKind() != kind || envelope.GetTaskId() != wantID || envelope.GetSchemaVersion() != messages.SchemaVersion {
			t.Errorf("%s: the envelope says %s, task %q, version %d", kind, envelope.GetKind(), envelope.GetTaskId(), envelope.GetSchemaVersion())
		}
	}
}

func TestValueOfCompletedStaysHome(t *testing.T) {
	t.Parallel()
	got := travel(t, messages.Completed{TaskRef: someRef, Result: []byte("{}"), Value: 42})
	if want := (messages.Completed{TaskRef: someRef, Result: []byte("{}")}); !reflect.DeepEqual(got, want) {
		t.Errorf("arrived %#v", got)
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	run := func(change func(*messages.Run)) messages.Run {
		r := messages.Run{TaskID: someID, Kind: "k"}
		change(&r)
		return r
	}
	ref := func(change func(*messages.TaskRef)) messages.Progress {
		r := someRef
		change(&r)
		return messages.Progress{TaskRef: r}
	}
	for name, test := range map[string]struct {
		message any
		want    error
		field   string
	}{
		"nothing":            {nil, messages.ErrUnknownKind, "nil"},
		"a stranger":         {42, messages.ErrUnknownKind, "int"},
		"a pointer":          {&messages.Run{}, messages.ErrUnknownKind, "*messages.Run"},
		"an exit":            {messages.Exit{}, messages.ErrUnknownKind, "messages.Exit"},
		"no id":              {run(func(r *messages.Run) { r.TaskID = "" }), messages.ErrInvalid, "TaskID"},
		"an id in capitals":  {run(func(r *messages.Run) { r.TaskID = strings.ToUpper(someID) }), messages.ErrInvalid, "TaskID"},
		"an id without dash": {run(func(r *messages.Run) { r.TaskID = strings.ReplaceAll(someID, "-", "0") }), messages.ErrInvalid, "TaskID"},
		"no kind":            {run(func(r *messages.Run) { r.Kind = "" }), messages.ErrInvalid, "Kind"},
		"invalid UTF-8":      {run(func(r *messages.Run) { r.Kind = "a\xff" }), messages.ErrInvalid, "Kind"},
		"a control":          {run(func(r *messages.Run) { r.Kind = "a\nb" }), messages.ErrInvalid, "Kind"},
		"a long kind":        {run(func(r *messages.Run) { r.Kind = strings.Repeat("k", messages.MaxName+1) }), messages.ErrTooLarge, "MaxName"},
		"large args":         {run(func(r *messages.Run) { r.Args = make([]byte, messages.MaxArgs+1) }), messages.ErrTooLarge, "MaxArgs"},
		"attempts below 0":   {run(func(r *messages.Run) { r.MaxAttempts = -1 }), messages.ErrInvalid, "MaxAttempts"},
		"priority below 0":   {run(func(r *messages.Run) { r.Priority = -1 }), messages.ErrInvalid, "Priority"},
		"a manifold trace":   {run(func(r *messages.Run) { r.TraceContext = manyEntries() }), messages.ErrTooLarge, "TraceContext"},
		"attempts over 2^31": {run(func(r *messages.Run) { r.MaxAttempts = 1 << 31 }), messages.ErrInvalid, "MaxAttempts"},
		"timeout below 0":    {run(func(r *messages.Run) { r.Timeout = -1 }), messages.ErrInvalid, "Timeout"},
		"the year 10000":     {run(func(r *messages.Run) { r.ScheduledAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }), messages.ErrInvalid, "ScheduledAt"},
		"run below 0":        {ref(func(r *messages.TaskRef) { r.Run = -1 }), messages.ErrInvalid, "Run"},
		"attempt below 0":    {ref(func(r *messages.TaskRef) { r.Attempt = -1 }), messages.ErrInvalid, "Attempt"},
		"a bad runner":       {ref(func(r *messages.TaskRef) { r.Runner = "\x00" }), messages.ErrInvalid, "Runner"},
		"no number":          {messages.Progress{TaskRef: someRef, Fraction: math.NaN()}, messages.ErrInvalid, "Fraction"},
		"over 1":             {messages.Progress{TaskRef: someRef, Fraction: 1.01}, messages.ErrInvalid, "Fraction"},
		"below 0":            {messages.Progress{TaskRef: someRef, Fraction: -0.01}, messages.ErrInvalid, "Fraction"},
		"a large result":     {messages.Completed{TaskRef: someRef, Result: make([]byte, messages.MaxResult+1)}, messages.ErrTooLarge, "MaxResult"},
		"no reason":          {messages.Failed{TaskRef: someRef}, messages.ErrInvalid, "Reason"},
		"a late retry":       {messages.Failed{TaskRef: someRef, Reason: io.EOF, RetryAt: time.Unix(1<<50, 0)}, messages.ErrInvalid, "RetryAt"},
		"half a PID":         {messages.Down{Reason: io.EOF, PID: messages.PID{ID: 3}}, messages.ErrInvalid, "PID"},
		"down for nothing":   {messages.Down{}, messages.ErrInvalid, "Reason"},
	} {
		envelope, err := messages.Encode(test.message)
		if envelope != nil || !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.field) {
			t.Errorf("%s: got %v and the error %v, want %v naming %s", name, envelope, err, test.want, test.field)
		}
	}
}

func TestDecodeRefusesEnvelopes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*messages.Envelope)
		want   error
		text   string
	}{
		"a newer schema":      {func(e *messages.Envelope) { e.SchemaVersion = 2 }, messages.ErrSchemaVersion, "version 2"},
		"no schema":           {func(e *messages.Envelope) { e.SchemaVersion = 0 }, messages.ErrSchemaVersion, "version 0"},
		"an unknown kind":     {func(e *messages.Envelope) { e.Kind = "teleported" }, messages.ErrUnknownKind, `"teleported"`},
		"no kind":             {func(e *messages.Envelope) { e.Kind = "" }, messages.ErrInvalid, "kind"},
		"a long kind":         {func(e *messages.Envelope) { e.Kind = strings.Repeat("k", messages.MaxName+1) }, messages.ErrTooLarge, "MaxName"},
		"another task":        {func(e *messages.Envelope) { e.TaskId = "" }, messages.ErrInvalid, "TaskID"},
		"no protobuf":         {func(e *messages.Envelope) { e.Body = []byte("\xff\xff") }, messages.ErrInvalid, "run"},
		"a large body":        {func(e *messages.Envelope) { e.Body = make([]byte, messages.MaxBody+1) }, messages.ErrTooLarge, "MaxBody"},
		"an early deadline":   {func(e *messages.Envelope) { e.Deadline = &timestamppb.Timestamp{Nanos: -1} }, messages.ErrInvalid, "deadline"},
		"a bad trace":         {func(e *messages.Envelope) { e.TraceContext = map[string]string{"a": "\xff"} }, messages.ErrInvalid, "trace_context"},
		"a large trace":       {func(e *messages.Envelope) { e.TraceContext = map[string]string{"a": strings.Repeat("b", 1<<14)} }, messages.ErrTooLarge, "MaxTraceEntry"},
		"a manifold trace":    {func(e *messages.Envelope) { e.TraceContext = manyEntries() }, messages.ErrTooLarge, "MaxTraceEntries"},
		"a large timeout":     {func(e *messages.Envelope) { setTimeout(e, &durationpb.Duration{Seconds: 1 << 34}) }, messages.ErrInvalid, "timeout"},
		"a malformed timeout": {func(e *messages.Envelope) { setTimeout(e, &durationpb.Duration{Seconds: 1, Nanos: -1}) }, messages.ErrInvalid, "timeout"},
		"a negative timeout":  {func(e *messages.Envelope) { setTimeout(e, &durationpb.Duration{Seconds: -1}) }, messages.ErrInvalid, "Timeout"},
	} {
		envelope, err := messages.Encode(messages.Run{TaskID: someID, Kind: "k", Args: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		test.change(envelope)
		message, err := messages.Decode(envelope)
		if message != nil || !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: got %v and the error %v, want %v with %q", name, message, err, test.want, test.text)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "messages: ") {
			t.Errorf("%s: the error %q does not say whose it is", name, err)
		}
	}
	if _, err := messages.Decode(nil); !errors.Is(err, messages.ErrInvalid) {
		t.Errorf("Decode(nil): %v", err)
	}
}

func manyEntries() map[string]string {
	entries := map[string]string{}
	for i := range messages.MaxTraceEntries + 1 {
		entries[fmt.Sprint(i)] = "v"
	}
	return entries
}

func setTimeout(e *messages.Envelope, timeout *durationpb.Duration) {
	body, err := proto.Marshal(&messages.WireRun{TaskId: someID, Kind: "k", Timeout: timeout})
	if err != nil {
		panic(err) // nothing in it can fail
	}
	e.Body = body
}

func TestDecodeTakesWhatTransportsAdd(t *testing.T) {
	t.Parallel()
	envelope, err := messages.Encode(messages.Run{TaskID: someID, Kind: "k"})
	if err != nil {
		t.Fatal(err)
	}
	envelope.TraceContext = someTrace
	envelope.Deadline = timestamppb.New(time.Unix(1_800_000_000, 0))
	envelope.Body = append(envelope.Body, 0xf8, 0x07, 0x01) // field 127, which a newer program may know
	if got, err := messages.Decode(envelope); err != nil || !reflect.DeepEqual(got, messages.Run{TaskID: someID, Kind: "k", TraceContext: someTrace}) {
		t.Errorf("got %#v and the error %v", got, err)
	}
}

func TestDecodedMessageKeepsNoMemoryOfTheEnvelope(t *testing.T) {
	t.Parallel()
	trace := maps.Clone(someTrace)
	envelope, err := messages.Encode(messages.Run{TaskID: someID, Kind: "k", Args: []byte("12345"), TraceContext: trace})
	if err != nil {
		t.Fatal(err)
	}
	clear(trace)
	message, err := messages.Decode(envelope)
	if err != nil {
		t.Fatal(err)
	}
	clear(envelope.GetBody())
	clear(envelope.GetTraceContext())
	if run := message.(messages.Run); string(run.Args) != "12345" || run.Kind != "k" || len(run.TraceContext) != len(someTrace) {
		t.Errorf("overwriting the envelope changed the message to %+v", run)
	}
}

// FuzzDecode looks for envelopes that make Decode panic, and for messages that it takes but Encode refuses.
func FuzzDecode(f *testing.F) {
	for _, message := range []any{
		messages.Run{TaskID: someID, Kind: "k", Args: []byte(`{"a":1}`), ScheduledAt: time.Unix(1, 2), MaxAttempts: 3, Timeout: time.Second},
		messages.Completed{TaskRef: someRef, Result: []byte("{}"), StartedAt: time.Unix(1, 0), FinishedAt: time.Unix(2, 0)},
		messages.Failed{TaskRef: someRef, Reason: messages.RetryAfter(time.Second, &messages.PanicError{Value: messages.Killed, Stack: []byte("s")})},
		messages.Cancelled{TaskRef: someRef, Reason: errors.Join(context.Canceled, messages.ErrGoexit)},
		messages.Snoozed{TaskRef: someRef, Until: time.Unix(3, 0)},
		messages.Progress{TaskRef: someRef, Fraction: 0.5},
		messages.Down{Ref: 1, PID: messages.PID{Node: "n", ID: 1}, Reason: &messages.ShutdownWith{Value: "v"}},
	} {
		envelope, err := messages.Encode(message)
		if err != nil {
			f.Fatal(err)
		}
		data, err := proto.Marshal(envelope)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		envelope := &messages.Envelope{}
		if proto.Unmarshal(data, envelope) != nil {
			return
		}
		message, err := messages.Decode(envelope)
		if err != nil {
			return
		}
		again := travel(t, message)
		if reflect.TypeOf(again) != reflect.TypeOf(message) || fmt.Sprint(again) != fmt.Sprint(message) {
			t.Fatalf("first %#v\nagain %#v", message, again)
		}
	})
}
