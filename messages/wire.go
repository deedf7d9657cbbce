package messages

import (
	"errors"
	"fmt"
	"maps"

	"google.golang.org/protobuf/proto"
)

// SchemaVersion is the version of taskrunner.proto that [Encode] writes, and the newest that [Decode] reads. Fields may
// be added to a version; what an older reader would misunderstand raises it.
const SchemaVersion = 1

// The kinds of an [Envelope]. They are on the wire, and perhaps in somebody's log, for ever.
const (
	kindRun       = "run"
	kindCompleted = "completed"
	kindFailed    = "failed"
	kindCancelled = "cancelled"
	kindSnoozed   = "snoozed"
	kindProgress  = "progress"
	kindDown      = "down"
)

// What is wrong with a message that cannot be sent or was not understood. The error text names the message, the field,
// the value and what was expected.
var (
	// ErrUnknownKind says that there is no such kind of message: a type that does not travel, or an envelope from a
	// program that knows more.
	ErrUnknownKind = errors.New("messages: unknown kind of message")
	// ErrSchemaVersion says that the envelope was written in a version of the schema that this program does not read.
	ErrSchemaVersion = errors.New("messages: unknown schema version")
	// ErrTooLarge says that something exceeds one of the limits of this package.
	ErrTooLarge = errors.New("messages: too large")
	// ErrInvalid says that a field has a value which it cannot have.
	ErrInvalid = errors.New("messages: invalid message")
)

// Encode puts a [Run], [Completed], [Failed], [Cancelled], [Snoozed], [Progress] or [Down], given by value, into an
// envelope of which it fills everything but the Deadline, which is the transport's, and the TraceContext of what is no Run. The message is
// checked as [Decode] checks it, so that what one end sends the other does not refuse.
//
// What does not travel: the Value of a Completed, the monotonic reading and the time zone of a time, and of errors all
// but what [Decode] says. A text or stack of an error that is longer than [MaxReasonText] is cut and says so, rather
// than that a task ends without an outcome because its error is long.
func Encode(message any) (*Envelope, error) {
	kind, body := toWire(message)
	if body == nil {
		return nil, fmt.Errorf("%w: %T", ErrUnknownKind, message)
	}
	c := checker{what: kind}
	if c.check(message); c.err != nil {
		return nil, c.err
	}
	data, err := proto.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, kind, err)
	}
	envelope := &Envelope{Kind: kind, Body: data, SchemaVersion: SchemaVersion, TaskId: taskID(message)}
	if run, ok := message.(Run); ok {
		envelope.TraceContext = maps.Clone(run.TraceContext)
	}
	return envelope, nil
}

// Decode takes the message out of an envelope and gives it by value, as [Encode] was given it. It trusts nothing: what
// it returns satisfies every check of this package, and what does not is an error that wraps [ErrUnknownKind],
// [ErrSchemaVersion], [ErrTooLarge] or [ErrInvalid]. The result shares no memory with the envelope.
//
// An error inside a message keeps its text, and what callers branch on: errors.Is with the [ExitReason] values,
// [ErrGoexit], context.Canceled and context.DeadlineExceeded, and errors.As with [*PanicError], [*Decision] and
// [*ShutdownWith] answer as before, also where the error was wrapped; values inside them have become strings.
func Decode(envelope *Envelope) (any, error) {
	if err := checkEnvelope(envelope); err != nil {
		return nil, err
	}
	kind := envelope.GetKind()
	body, err := emptyBody(kind)
	if err != nil {
		return nil, err
	}
	c := checker{what: kind}
	c.size("Reason", countErrors(body, envelope.GetBody()), MaxReasonNodes, "MaxReasonNodes")
	if c.err != nil {
		return nil, c.err
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(envelope.GetBody(), body); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, kind, err)
	}
	message := c.message(body)
	if run, ok := message.(Run); ok {
		run.TraceContext = maps.Clone(envelope.GetTraceContext())
		message = run
	}
	c.check(message)
	c.sameID(taskID(message), []byte(envelope.GetTaskId()))
	if c.err != nil {
		return nil, c.err
	}
	return message, nil
}

// taskID gives the task that a message is about, "" for a Down.
func taskID(message any) string {
	switch m := message.(type) {
	case Run:
		return m.TaskID
	case interface{ task() TaskRef }:
		return m.task().TaskID
	default:
		return ""
	}
}

// task is what the messages that embed a TaskRef have in common.
func (r TaskRef) task() TaskRef { return r }

// toWire gives the kind and the wire form of a message, and a nil body for what does not travel.
func toWire(message any) (kind string, body proto.Message) {
	switch m := message.(type) {
	case Run:
		return kindRun, &WireRun{
			TaskId: m.TaskID, Kind: m.Kind, Args: m.Args, ScheduledAt: timeToWire(m.ScheduledAt),
			MaxAttempts: int32(m.MaxAttempts), Timeout: durationToWire(m.Timeout), Priority: int32(m.Priority),
		}
	case Completed:
		return kindCompleted, &WireCompleted{
			Task: refToWire(m.TaskRef), Result: m.Result, StartedAt: timeToWire(m.StartedAt), FinishedAt: timeToWire(m.FinishedAt),
		}
	case Failed:
		return kindFailed, &WireFailed{
			Task: refToWire(m.TaskRef), Reason: reasonToWire(m.Reason), RetryAt: timeToWire(m.RetryAt),
			StartedAt: timeToWire(m.StartedAt), FinishedAt: timeToWire(m.FinishedAt),
		}
	case Cancelled:
		return kindCancelled, &WireCancelled{
			Task: refToWire(m.TaskRef), Reason: reasonToWire(m.Reason), FinishedAt: timeToWire(m.FinishedAt),
		}
	case Snoozed:
		return kindSnoozed, &WireSnoozed{Task: refToWire(m.TaskRef), Until: timeToWire(m.Until)}
	case Progress:
		return kindProgress, &WireProgress{Task: refToWire(m.TaskRef), Fraction: m.Fraction}
	case Down:
		return kindDown, &WireDown{Ref: uint64(m.Ref), Pid: pidToWire(m.PID), Reason: reasonToWire(m.Reason)}
	default:
		return "", nil
	}
}

// emptyBody gives a message of the type that an envelope of this kind carries.
func emptyBody(kind string) (proto.Message, error) {
	switch kind {
	case kindRun:
		return &WireRun{}, nil
	case kindCompleted:
		return &WireCompleted{}, nil
	case kindFailed:
		return &WireFailed{}, nil
	case kindCancelled:
		return &WireCancelled{}, nil
	case kindSnoozed:
		return &WireSnoozed{}, nil
	case kindProgress:
		return &WireProgress{}, nil
	case kindDown:
		return &WireDown{}, nil
	default:
		return nil, fmt.Errorf("%w: %q", ErrUnknownKind, kind)
	}
}
