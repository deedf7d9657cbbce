package messages

import (
	"fmt"
	"maps"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskrunner-go/taskrunner/internal/fields"
)

// Parcel is an envelope that lies in a larger message. Its Kind, TaskID and Body are parts of that, not copies, and nothing is checked yet.
type Parcel struct {
	Kind          []byte
	TaskID        []byte
	Body          []byte
	SchemaVersion uint32
	Deadline      time.Time         // when the sender no longer waits; zero if it waits for ever
	TraceContext  map[string]string // what a propagator has put into a carrier; nil: nothing
}

// ParseParcel finds the parts of an envelope that proto.Marshal or [AppendRun] has made. Fields that it does not know it passes by; those that
// it knows may come once.
func ParseParcel(data []byte) (p Parcel, err error) {
	for f := fields.Read(data).Once(1, 2, 3, 4, 6); f.Next(); {
		switch f.Key() {
		case fields.Bytes.Of(1):
			p.Kind = f.Bytes
		case fields.Bytes.Of(2):
			p.Body = f.Bytes
		case fields.Varint.Of(3):
			p.SchemaVersion = uint32(f.Number)
		case fields.Bytes.Of(4):
			p.TaskID = f.Bytes
		case fields.Bytes.Of(5):
			err = p.trace(f.Bytes)
		case fields.Bytes.Of(6):
			p.Deadline, err = parseTime("deadline", f.Bytes)
		case fields.Broken:
			err = f.Err
		}
		if err != nil {
			return p, fmt.Errorf("%w: envelope: %w", ErrInvalid, err)
		}
	}
	return p, nil
}

// trace takes one entry. More than there may be are not gathered first.
func (p *Parcel) trace(data []byte) error {
	var k, v string
	for f := fields.Read(data).Once(1, 2); f.Next(); {
		switch f.Key() {
		case fields.Bytes.Of(1):
			k = string(f.Bytes)
		case fields.Bytes.Of(2):
			v = string(f.Bytes)
		case fields.Broken:
			return f.Err
		}
	}
	if p.TraceContext == nil {
		p.TraceContext = map[string]string{}
	}
	if _, twice := p.TraceContext[k]; twice {
		return fmt.Errorf("trace_context has the key %q twice", k)
	}
	if p.TraceContext[k] = v; len(p.TraceContext) > MaxTraceEntries {
		return fmt.Errorf("trace_context has more entries than MaxTraceEntries, which is %d", MaxTraceEntries)
	}
	return nil
}

// Envelope gives the envelope, which shares no memory with the parcel.
func (p Parcel) Envelope() *Envelope {
	e := &Envelope{
		Kind: string(p.Kind), TaskId: string(p.TaskID), Body: append([]byte(nil), p.Body...), SchemaVersion: p.SchemaVersion,
		TraceContext: maps.Clone(p.TraceContext),
	}
	if !p.Deadline.IsZero() {
		e.Deadline = timestamppb.New(p.Deadline)
	}
	return e
}

// Message is [Decode] for a parcel.
func (p Parcel) Message() (any, error) { return Decode(p.Envelope()) }

// Run is Decode for a parcel that must hold a [Run].
func (p Parcel) Run() (Run, error) {
	if string(p.Kind) != kindRun || p.SchemaVersion != SchemaVersion || len(p.TraceContext) > 0 {
		return p.otherRun()
	}
	run, err := parseRun(p.Body)
	if err != nil {
		return run, fmt.Errorf("%w: %s: %w", ErrInvalid, kindRun, err)
	}
	c := checker{what: kindRun}
	c.run(run)
	c.sameID(run.TaskID, p.TaskID)
	return run, c.err
}

// otherRun is Run for what is no ordinary one, with all checks and errors of Decode.
func (p Parcel) otherRun() (run Run, err error) {
	message, err := p.Message()
	if err != nil {
		return run, err
	}
	run, ok := message.(Run)
	if !ok {
		err = fmt.Errorf("%w: a %s where a run was expected", ErrInvalid, p.Kind)
	}
	return run, err
}

// Result gives the result of a [Completed], without the rest; ok is false if the parcel holds anything else, or a Completed in
// which something is wrong: Message tells what. The result is a part of the parcel.
func (p Parcel) Result() (result []byte, ok bool) {
	if string(p.Kind) != kindCompleted || p.SchemaVersion != SchemaVersion {
		return nil, false
	}
	var ref []byte
	for f := fields.Read(p.Body).Once(1, 2); f.Next(); {
		switch f.Key() {
		case fields.Bytes.Of(1):
			ref = f.Bytes
		case fields.Bytes.Of(2):
			result = f.Bytes
		case fields.Broken:
			return nil, false
		}
	}
	return result, len(result) <= MaxResult && string(taskIDIn(ref)) == string(p.TaskID)
}

// taskIDIn finds the id in a WireTaskRef.
func taskIDIn(ref []byte) (id []byte) {
	for f := fields.Read(ref).Once(1); f.Next(); {
		if f.Key() == fields.Bytes.Of(1) {
			id = f.Bytes
		}
	}
	return id
}

// parseRun reads a WireRun. The result shares no memory with it.
func parseRun(data []byte) (run Run, err error) {
	for f := fields.Read(data).Once(1, 2, 3, 4, 5, 6, 7); f.Next(); {
		switch f.Key() {
		case fields.Bytes.Of(1):
			run.TaskID = string(f.Bytes)
		case fields.Bytes.Of(2):
			run.Kind = string(f.Bytes)
		case fields.Bytes.Of(3):
			run.Args = append([]byte(nil), f.Bytes...)
		case fields.Bytes.Of(4):
			run.ScheduledAt, err = parseTime("scheduled_at", f.Bytes)
		case fields.Varint.Of(5):
			run.MaxAttempts = int(int32(f.Number))
		case fields.Bytes.Of(6):
			run.Timeout, err = parseDuration("timeout", f.Bytes)
		case fields.Varint.Of(7):
			run.Priority = int(int32(f.Number))
		case fields.Broken:
			err = f.Err
		}
		if err != nil {
			return run, err
		}
	}
	return run, nil
}

func parseTime(field string, data []byte) (time.Time, error) {
	seconds, nanos, err := parseSeconds(data)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", field, err)
	}
	t := time.Unix(seconds, int64(nanos)).UTC()
	if !validTime(t) || nanos < 0 || nanos >= int32(time.Second) {
		return time.Time{}, fmt.Errorf("%s is %d.%09d, want a time of the years 1 to 9999", field, seconds, nanos)
	}
	return t, nil
}

func parseDuration(field string, data []byte) (time.Duration, error) {
	seconds, nanos, err := parseSeconds(data)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", field, err)
	}
	c := checker{what: kindRun}
	d := c.wireDuration(field, &durationpb.Duration{Seconds: seconds, Nanos: nanos})
	return d, c.err
}

// parseSeconds reads a Timestamp or a Duration.
func parseSeconds(data []byte) (seconds int64, nanos int32, err error) {
	for f := fields.Read(data).Once(1, 2); f.Next(); {
		switch f.Key() {
		case fields.Varint.Of(1):
			seconds = int64(f.Number)
		case fields.Varint.Of(2):
			nanos = int32(f.Number)
		case fields.Broken:
			return 0, 0, f.Err
		}
	}
	return seconds, nanos, nil
}
