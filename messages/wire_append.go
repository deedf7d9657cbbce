package messages

import (
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/taskrunner-go/taskrunner/internal/fields"
)

// AppendRun appends what proto.Marshal makes of the envelope that [Encode] makes of the run, with a deadline unless that is zero. It makes
// no object for it: of the runs and ends of tasks there are many, and half of what it took to send one was the making of objects.
func AppendRun(data []byte, run Run, deadline time.Time) ([]byte, error) {
	c := checker{what: kindRun}
	if c.run(run); c.err != nil {
		return data, c.err
	}
	size := sizeOfRun(run)
	data = slices.Grow(data, size+aroundBody)
	data = appendHead(data, kindRun, size)
	data = appendRun(data, run)
	data = appendTail(data, run.TaskID)
	data = appendTrace(data, run.TraceContext)
	return appendTime(data, 6, deadline), nil
}

// AppendCompleted does so for a Completed.
func AppendCompleted(data []byte, m Completed) ([]byte, error) {
	c := checker{what: kindCompleted}
	c.ref(m.TaskRef)
	if c.completed(m); c.err != nil {
		return data, c.err
	}
	data = appendHead(data, kindCompleted, sizeOfCompleted(m))
	data = appendCompleted(data, m)
	return appendTail(data, m.TaskID), nil
}

// Append does so for whatever Encode takes.
func Append(data []byte, message any) ([]byte, error) {
	if m, ok := message.(Completed); ok {
		return AppendCompleted(data, m)
	}
	envelope, err := Encode(message)
	if err != nil {
		return data, err
	}
	return proto.MarshalOptions{}.MarshalAppend(data, envelope)
}

// aroundBody is what an envelope has besides its body, mostly: so much memory is got at once.
const aroundBody = 96

// The numbers of fields below are those in taskrunner.proto.

func appendHead(data []byte, kind string, size int) []byte {
	data = fields.AppendBytes(data, 1, kind)
	return fields.AppendSize(data, 2, size)
}

func appendTail(data []byte, taskID string) []byte {
	data = fields.AppendVarint(data, 3, SchemaVersion)
	return fields.AppendBytes(data, 4, taskID)
}

func appendTrace(data []byte, carrier map[string]string) []byte {
	for key, value := range carrier {
		data = fields.AppendSize(data, 5, fields.SizeBytes(1, key)+fields.SizeBytes(2, value))
		data = fields.AppendBytes(data, 1, key)
		data = fields.AppendBytes(data, 2, value)
	}
	return data
}

func sizeOfRun(m Run) int {
	return fields.SizeBytes(1, m.TaskID) + fields.SizeBytes(2, m.Kind) + fields.SizeBytes(3, m.Args) + sizeOfTime(4, m.ScheduledAt) +
		fields.SizeVarint(5, uint64(m.MaxAttempts)) + sizeOfDuration(6, m.Timeout) + fields.SizeVarint(7, uint64(m.Priority))
}

func appendRun(data []byte, m Run) []byte {
	data = fields.AppendBytes(data, 1, m.TaskID)
	data = fields.AppendBytes(data, 2, m.Kind)
	data = fields.AppendBytes(data, 3, m.Args)
	data = appendTime(data, 4, m.ScheduledAt)
	data = fields.AppendVarint(data, 5, uint64(m.MaxAttempts))
	data = appendDuration(data, 6, m.Timeout)
	return fields.AppendVarint(data, 7, uint64(m.Priority))
}

func sizeOfCompleted(m Completed) int {
	size := fields.SizeMessage(1, sizeOfRef(m.TaskRef)) + sizeOfTime(3, m.StartedAt) + sizeOfTime(4, m.FinishedAt)
	if m.Result != nil {
		size += fields.SizeMessage(2, len(m.Result))
	}
	return size
}

func appendCompleted(data []byte, m Completed) []byte {
	data = fields.AppendSize(data, 1, sizeOfRef(m.TaskRef))
	data = appendRef(data, m.TaskRef)
	if m.Result != nil { // it is optional: an empty one is another than none
		data = fields.AppendSize(data, 2, len(m.Result))
		data = append(data, m.Result...)
	}
	data = appendTime(data, 3, m.StartedAt)
	return appendTime(data, 4, m.FinishedAt)
}

func sizeOfRef(r TaskRef) int {
	return fields.SizeBytes(1, r.TaskID) + fields.SizeBytes(2, r.Kind) + fields.SizeBytes(3, r.Runner) + fields.SizeVarint(4, uint64(r.Run)) +
		fields.SizeVarint(5, uint64(r.Attempt)) + fields.SizeVarint(6, uint64(r.MaxAttempts))
}

func appendRef(data []byte, r TaskRef) []byte {
	data = fields.AppendBytes(data, 1, r.TaskID)
	data = fields.AppendBytes(data, 2, r.Kind)
	data = fields.AppendBytes(data, 3, r.Runner)
	data = fields.AppendVarint(data, 4, uint64(r.Run))
	data = fields.AppendVarint(data, 5, uint64(r.Attempt))
	return fields.AppendVarint(data, 6, uint64(r.MaxAttempts))
}

// A time and a duration are seconds and nanoseconds; those of a time are never negative, the seconds may be.

func sizeOfTime(field protowire.Number, t time.Time) int {
	if t.IsZero() {
		return 0
	}
	return fields.SizeMessage(field, fields.SizeVarint(1, uint64(t.Unix()))+fields.SizeVarint(2, uint64(t.Nanosecond())))
}

func appendTime(data []byte, field protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return data
	}
	return appendSeconds(data, field, uint64(t.Unix()), uint64(t.Nanosecond()))
}

func sizeOfDuration(field protowire.Number, d time.Duration) int {
	if d == 0 {
		return 0
	}
	return fields.SizeMessage(field, fields.SizeVarint(1, uint64(d/time.Second))+fields.SizeVarint(2, uint64(d%time.Second)))
}

func appendDuration(data []byte, field protowire.Number, d time.Duration) []byte {
	if d == 0 {
		return data
	}
	return appendSeconds(data, field, uint64(d/time.Second), uint64(d%time.Second))
}

func appendSeconds(data []byte, field protowire.Number, seconds, nanos uint64) []byte {
	data = fields.AppendSize(data, field, fields.SizeVarint(1, seconds)+fields.SizeVarint(2, nanos))
	data = fields.AppendVarint(data, 1, seconds)
	return fields.AppendVarint(data, 2, nanos)
}
