package messages_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/taskrunner-go/taskrunner/messages"
)

// times draws times that travel, now and then zero.
func times() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-62_135_596_800, 253_402_300_799).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC()
	})
}

func uuids() *rapid.Generator[string] {
	return rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
}

func names() *rapid.Generator[string] { return rapid.StringMatching(`[a-zäµ.]{1,20}`) }

func runs(t *rapid.T) messages.Run {
	return messages.Run{
		TaskID: uuids().Draw(t, "id"), Kind: names().Draw(t, "kind"), Args: rapid.SliceOf(rapid.Byte()).Draw(t, "args"),
		ScheduledAt: times().Draw(t, "at"), MaxAttempts: rapid.IntRange(0, 1<<31-1).Draw(t, "attempts"),
		Timeout: time.Duration(rapid.Int64Min(0).Draw(t, "timeout")), Priority: rapid.IntRange(0, 9).Draw(t, "priority"),
	}
}

func completions(t *rapid.T) messages.Completed {
	m := messages.Completed{
		TaskRef: messages.TaskRef{
			TaskID: uuids().Draw(t, "id"), Kind: names().Draw(t, "kind"), Runner: names().Draw(t, "runner"), Run: rapid.Int64Min(0).Draw(t, "run"),
			Attempt: rapid.IntRange(0, 99).Draw(t, "attempt"), MaxAttempts: rapid.IntRange(0, 99).Draw(t, "attempts"),
		},
		StartedAt: times().Draw(t, "started"), FinishedAt: times().Draw(t, "finished"),
	}
	if rapid.Bool().Draw(t, "has a result") {
		m.Result = rapid.SliceOf(rapid.Byte()).Draw(t, "result")
	}
	return m
}

// TestAppendedIsWhatTheProtoFileSays compares what is written and read field by field with generated code.
func TestAppendedIsWhatTheProtoFileSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		run, completed := runs(t), completions(t)
		deadline := times().Draw(t, "deadline")
		if rapid.Bool().Draw(t, "traced") {
			run.TraceContext = rapid.MapOfN(rapid.String(), rapid.String(), 1, 3).Draw(t, "trace")
		}
		data, err := messages.AppendRun(nil, run, deadline)
		compare(t, data, err, run, deadline)
		data, err = messages.AppendCompleted(nil, completed)
		compare(t, data, err, completed, time.Time{})
		parcel, err := messages.ParseParcel(data)
		if result, ok := parcel.Result(); err != nil || !ok || string(result) != string(completed.Result) || (result == nil) != (completed.Result == nil) {
			t.Fatalf("Result: %q, %v, %v; want %q", result, ok, err, completed.Result)
		}
	})
}

// compare compares data with what Encode makes of the message, and what can be read of both.
func compare(t *rapid.T, data []byte, err error, message any, deadline time.Time) {
	if err != nil {
		t.Fatal(err)
	}
	want, err := messages.Encode(message)
	if err != nil {
		t.Fatal(err)
	}
	if !deadline.IsZero() {
		want.Deadline = timestamppb.New(deadline)
	}
	var got messages.Envelope
	if err := proto.Unmarshal(data, &got); err != nil || !proto.Equal(&got, want) {
		t.Fatalf("%v, %v; want %v", &got, err, want)
	}
	decoded, err := messages.Decode(want)
	if err != nil {
		t.Fatal(err)
	}
	again, err := proto.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	parcel, err := messages.ParseParcel(again)
	if err != nil || !proto.Equal(parcel.Envelope(), want) {
		t.Fatalf("%v, %v; want %v", parcel.Envelope(), err, want)
	}
	if read, err := parcel.Message(); err != nil || !reflect.DeepEqual(read, decoded) {
		t.Fatalf("%#v, %v; want %#v", read, err, decoded)
	}
	read, err := parcel.Run()
	if run, ok := decoded.(messages.Run); ok {
		if len(run.Args) == 0 {
			run.Args = read.Args // none, either way
		}
		if err != nil || !reflect.DeepEqual(read, run) {
			t.Fatalf("%#v, %v; want %#v", read, err, run)
		}
	} else if err == nil {
		t.Fatalf("a %T as a Run", message)
	}
}

func TestARunOfAParcelKeepsNoMemoryOfIt(t *testing.T) {
	t.Parallel()
	data, err := messages.AppendRun(nil, messages.Run{TaskID: someID, Kind: "k", Args: []byte("12345")}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	parcel, err := messages.ParseParcel(data)
	if err != nil {
		t.Fatal(err)
	}
	run, err := parcel.Run()
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	if run.TaskID != someID || run.Kind != "k" || string(run.Args) != "12345" {
		t.Errorf("overwriting the parcel changed the run to %+v", run)
	}
}

func TestAResultOfWhatIsNoGoodCompleted(t *testing.T) {
	t.Parallel()
	good := messages.Completed{TaskRef: someRef, Result: []byte("1")}
	for name, change := range map[string]func(*messages.Envelope){
		"another kind":    func(e *messages.Envelope) { e.Kind = "failed" },
		"another version": func(e *messages.Envelope) { e.SchemaVersion++ },
		"another task":    func(e *messages.Envelope) { e.TaskId = "018f0000-0000-7000-8000-000000000000" },
		"a broken body":   func(e *messages.Envelope) { e.Body = append(e.Body, 0x0a) },
		"a field with a number that is too high": func(e *messages.Envelope) {
			e.Body = protowire.AppendVarint(protowire.AppendTag(e.Body, protowire.MaxValidNumber+1, protowire.VarintType), 1)
		},
	} {
		envelope, err := messages.Encode(good)
		if err != nil {
			t.Fatal(err)
		}
		change(envelope)
		data, err := proto.Marshal(envelope)
		if err != nil {
			t.Fatal(err)
		}
		parcel, err := messages.ParseParcel(data)
		if err != nil {
			t.Fatal(err)
		}
		if result, ok := parcel.Result(); ok {
			t.Errorf("%s: the result is %q", name, result)
		}
		if _, err := parcel.Message(); err == nil {
			t.Errorf("%s: there is no error", name)
		}
	}
}

// TestWhatComesTwiceIsRefused, because generated code takes the last one, or joins both: the guard and those behind it could read two things.
func TestWhatComesTwiceIsRefused(t *testing.T) {
	t.Parallel()
	run := messages.Run{TaskID: someID, Kind: "k", Args: []byte("1"), ScheduledAt: time.Unix(1, 2), MaxAttempts: 3, Timeout: time.Second, Priority: 1}
	run.TraceContext = map[string]string{"a": "b"}
	good, err := messages.Encode(run)
	if err != nil {
		t.Fatal(err)
	}
	good.Deadline = timestamppb.New(time.Unix(3, 4))
	data, err := proto.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	for data, rest := data, data; len(rest) > 0; {
		number, _, n := protowire.ConsumeField(rest)
		if _, err := messages.ParseParcel(append(slices.Clip(data), rest[:n]...)); !errors.Is(err, messages.ErrInvalid) {
			t.Errorf("field %d of an envelope twice: %v", number, err)
		}
		rest = rest[n:]
	}
	for body, rest := good.GetBody(), good.GetBody(); len(rest) > 0; {
		number, _, n := protowire.ConsumeField(rest)
		parcel := messages.Parcel{
			Kind: []byte("run"), TaskID: []byte(someID), SchemaVersion: messages.SchemaVersion, Body: append(slices.Clip(body), rest[:n]...),
		}
		if _, err := parcel.Run(); !errors.Is(err, messages.ErrInvalid) {
			t.Errorf("field %d of a run twice: %v", number, err)
		}
		rest = rest[n:]
	}
}

// FuzzParcel looks for parcels that make it panic, and for runs of which it thinks otherwise than Decode.
func FuzzParcel(f *testing.F) {
	data, err := messages.AppendRun(nil, messages.Run{
		TaskID: someID, Kind: "k", Args: []byte("1"), ScheduledAt: time.Unix(1, 2), MaxAttempts: 3, Timeout: time.Second, Priority: 1,
		TraceContext: map[string]string{"a": "b"},
	}, time.Unix(3, 4))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	if data, err = messages.AppendCompleted(nil, messages.Completed{TaskRef: someRef, Result: []byte("1"), FinishedAt: time.Unix(1, 0)}); err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		parcel, err := messages.ParseParcel(data)
		if err != nil {
			return
		}
		parcel.Result()
		run, err := parcel.Run()
		if err != nil {
			return
		}
		envelope := &messages.Envelope{}
		if err := proto.Unmarshal(data, envelope); err != nil {
			t.Fatalf("%+v out of what generated code does not read: %v", run, err)
		}
		want, err := messages.Decode(envelope)
		if err != nil || fmt.Sprint(want) != fmt.Sprint(run) {
			t.Fatalf("%+v, want %+v, %v", run, want, err)
		}
	})
}
