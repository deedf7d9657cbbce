package messages

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// The limits of what travels. They are those of package store, so that what arrives can be recorded.
const (
	// MaxArgs is the largest size of a task's arguments in bytes.
	MaxArgs = 1 << 20
	// MaxResult is the largest size of a task's result in bytes.
	MaxResult = 1 << 20
	// MaxName is the largest length in bytes of a kind, a runner's name or a node.
	MaxName = 512
	// MaxReasonText is the largest size in bytes of the text of an error, and of a stack.
	MaxReasonText = 64 << 10
	// MaxReasonNodes is how many errors, one inside the other or side by side, travel in one message.
	MaxReasonNodes = 16
	// MaxBody is the largest size of an envelope's body in bytes: all errors with text and stack at their limits, and
	// the names. gRPC takes 4 MiB by default.
	MaxBody = 2*MaxReasonNodes*MaxReasonText + 64<<10
	// MaxTraceEntries is how many entries the trace context of an envelope may have. W3C needs three.
	MaxTraceEntries = 16
	// MaxTraceEntry is the largest size in bytes of one of them; W3C allows 8,192 for its baggage.
	MaxTraceEntry = 8 << 10
)

// checkEnvelope checks what can be known without reading the body.
func checkEnvelope(e *Envelope) error {
	if e == nil {
		return fmt.Errorf("%w: no envelope", ErrInvalid)
	}
	c := checker{what: "envelope"}
	c.name("kind", e.GetKind(), required)
	if c.err == nil && (e.GetSchemaVersion() < 1 || e.GetSchemaVersion() > SchemaVersion) {
		return fmt.Errorf("%w: %s in version %d, want 1 to %d", ErrSchemaVersion, e.GetKind(), e.GetSchemaVersion(), SchemaVersion)
	}
	c.size("body", len(e.GetBody()), MaxBody, "MaxBody")
	c.trace("trace_context", e.GetTraceContext())
	if e.GetDeadline() != nil && !e.GetDeadline().IsValid() {
		c.invalid("deadline", e.GetDeadline(), "a timestamp of the years 1 to 9999")
	}
	return c.err
}

// check looks at a message for what its sender must not send, and its receiver must not believe.
func (c *checker) check(message any) {
	if m, ok := message.(interface{ task() TaskRef }); ok {
		c.ref(m.task())
	}
	switch m := message.(type) {
	case Run:
		c.run(m)
	case Completed:
		c.completed(m)
	case Failed:
		c.reason(m.Reason)
		c.times(m.StartedAt, m.FinishedAt)
		c.time("RetryAt", m.RetryAt)
	case Cancelled: // its reason may be absent: not everybody who cancels says why
		c.time("FinishedAt", m.FinishedAt)
	case Snoozed:
		c.time("Until", m.Until)
	case Progress:
		if !(m.Fraction >= 0 && m.Fraction <= 1) { // so that NaN is refused as well
			c.invalid("Fraction", m.Fraction, "0 to 1")
		}
	case Down:
		c.reason(m.Reason)
		c.pid(m.PID)
	}
}

// checker keeps the first thing that is wrong with a message.
type checker struct {
	what string // the kind of message
	err  error
}

// presence says whether a field may be empty.
type presence bool

const (
	required presence = true
	optional presence = false
)

func (c *checker) invalid(field string, value any, want string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s: %s is %v, want %s", ErrInvalid, c.what, field, value, want)
	}
}

func (c *checker) size(field string, size, limit int, name string) {
	if c.err == nil && size > limit {
		c.err = fmt.Errorf("%w: %s: %s has a size of %d, %s is %d", ErrTooLarge, c.what, field, size, name, limit)
	}
}

func (c *checker) trace(field string, carrier map[string]string) {
	c.size(field, len(carrier), MaxTraceEntries, "MaxTraceEntries")
	for key, value := range carrier {
		c.size(field, len(key)+len(value), MaxTraceEntry, "MaxTraceEntry")
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			c.invalid(field, fmt.Sprintf("%.64q", key), "valid UTF-8")
		}
	}
}

func (c *checker) run(m Run) {
	c.id(m.TaskID)
	c.name("Kind", m.Kind, required)
	c.size("Args", len(m.Args), MaxArgs, "MaxArgs")
	c.time("ScheduledAt", m.ScheduledAt)
	c.count("MaxAttempts", m.MaxAttempts)
	c.count("Priority", m.Priority)
	c.trace("TraceContext", m.TraceContext)
	if m.Timeout < 0 {
		c.invalid("Timeout", m.Timeout, "0 or more")
	}
}

func (c *checker) completed(m Completed) {
	c.size("Result", len(m.Result), MaxResult, "MaxResult")
	c.times(m.StartedAt, m.FinishedAt)
}

// sameID refuses a message that is about another task than its envelope says.
func (c *checker) sameID(got string, envelope []byte) {
	if got != string(envelope) {
		c.invalid("TaskID", fmt.Sprintf("%.64q", got), fmt.Sprintf("%.64q as on the envelope", envelope))
	}
}

func (c *checker) ref(m TaskRef) {
	c.id(m.TaskID)
	c.name("Kind", m.Kind, optional)
	c.name("Runner", m.Runner, optional)
	if m.Run < 0 {
		c.invalid("Run", m.Run, "0 or more")
	}
	c.count("Attempt", m.Attempt)
	c.count("MaxAttempts", m.MaxAttempts)
}

// name refuses what cannot be shown on one line.
func (c *checker) name(field, value string, p presence) {
	c.size(field, len(value), MaxName, "MaxName")
	switch {
	case value == "" && p == required:
		c.invalid(field, `""`, "a name")
	case !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
		c.invalid(field, fmt.Sprintf("%.64q", value), "valid UTF-8 without control characters")
	}
}

// uuidForm has an x for each hexadecimal digit. Only this form is taken, because a task is found by comparing ids byte
// by byte.
const uuidForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"

func (c *checker) id(id string) {
	ok := len(id) == len(uuidForm)
	for i := 0; ok && i < len(id); i++ {
		if uuidForm[i] == 'x' {
			ok = strings.IndexByte("0123456789abcdef", id[i]) >= 0
		} else {
			ok = id[i] == '-'
		}
	}
	if !ok {
		c.invalid("TaskID", fmt.Sprintf("%.64q", id), "a UUID of 36 characters in lower case")
	}
}

// count refuses what does not fit into the int32 of the wire.
func (c *checker) count(field string, n int) {
	if n < 0 || n > math.MaxInt32 {
		c.invalid(field, n, fmt.Sprintf("0 to %d", math.MaxInt32))
	}
}

func (c *checker) times(started, finished time.Time) {
	c.time("StartedAt", started)
	c.time("FinishedAt", finished)
}

func (c *checker) time(field string, t time.Time) {
	if !validTime(t) {
		c.invalid(field, t.Unix(), "a time of the years 1 to 9999")
	}
}

// validTime reports whether a Timestamp may hold the time. That of protobuf says the same of an object that would be made for it.
func validTime(t time.Time) bool {
	const first, last = -62_135_596_800, 253_402_300_799 // seconds of 0001-01-01 and of the last one of 9999
	return t.Unix() >= first && t.Unix() <= last
}

func (c *checker) reason(reason error) {
	if reason == nil {
		c.invalid("Reason", "nil", "an error")
	}
}

// pid takes the zero PID, which is nobody: a name without a holder was monitored.
func (c *checker) pid(pid PID) {
	c.name("PID.Node", pid.Node, optional)
	if (pid.Node == "") != (pid.ID == 0) {
		c.invalid("PID", pid, "both a node and an id, or neither")
	}
}

// countErrors says how many errors are in the reason of a body that is yet to be unmarshalled into message, and stops
// counting beyond the limit. It looks at the bytes, because a cause of two bytes becomes an object of more than a
// hundred, and a small body could fill the memory before it is refused. What is not protobuf counts as nothing here;
// Unmarshal says what is wrong with it.
func countErrors(message proto.Message, body []byte) int {
	field := message.ProtoReflect().Descriptor().Fields().ByName("reason")
	if field == nil {
		return 0
	}
	causes := (&WireReason{}).ProtoReflect().Descriptor().Fields().ByName("causes")
	c := errorCounter{causes: causes.Number()}
	c.add(body, field.Number())
	return c.count
}

type errorCounter struct {
	causes protowire.Number // the field of a WireReason that holds others
	count  int
}

// add counts the reasons in the field with this number, and those below each of them.
func (c *errorCounter) add(data []byte, number protowire.Number) {
	for len(data) > 0 && c.count <= MaxReasonNodes {
		got, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return
		}
		size := protowire.ConsumeFieldValue(got, kind, data[n:])
		if size < 0 {
			return
		}
		if got == number && kind == protowire.BytesType {
			c.count++
			value, _ := protowire.ConsumeBytes(data[n:])
			c.add(value, c.causes)
		}
		data = data[n+size:]
	}
}
