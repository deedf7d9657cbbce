package messages

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// message gives the Go form of what emptyBody made and Unmarshal filled, the counterpart of toWire. It reports what the
// Go form cannot hold; check does the rest.
func (c *checker) message(body proto.Message) any {
	switch m := body.(type) {
	case *WireRun:
		return Run{
			TaskID: m.GetTaskId(), Kind: m.GetKind(), Args: m.GetArgs(), ScheduledAt: c.wireTime("scheduled_at", m.GetScheduledAt()),
			MaxAttempts: int(m.GetMaxAttempts()), Timeout: c.wireDuration("timeout", m.GetTimeout()),
			Priority: int(m.GetPriority()),
		}
	case *WireCompleted:
		return Completed{
			TaskRef: refFromWire(m.GetTask()), Result: m.GetResult(),
			StartedAt: c.wireTime("started_at", m.GetStartedAt()), FinishedAt: c.wireTime("finished_at", m.GetFinishedAt()),
		}
	case *WireFailed:
		return Failed{
			TaskRef: refFromWire(m.GetTask()), Reason: c.wireReason(m.GetReason()), RetryAt: c.wireTime("retry_at", m.GetRetryAt()),
			StartedAt: c.wireTime("started_at", m.GetStartedAt()), FinishedAt: c.wireTime("finished_at", m.GetFinishedAt()),
		}
	case *WireCancelled:
		return Cancelled{
			TaskRef: refFromWire(m.GetTask()), Reason: c.wireReason(m.GetReason()), FinishedAt: c.wireTime("finished_at", m.GetFinishedAt()),
		}
	case *WireSnoozed:
		return Snoozed{TaskRef: refFromWire(m.GetTask()), Until: c.wireTime("until", m.GetUntil())}
	case *WireProgress:
		return Progress{TaskRef: refFromWire(m.GetTask()), Fraction: m.GetFraction()}
	case *WireDown:
		return Down{
			Ref: Ref(m.GetRef()), PID: PID{Node: m.GetPid().GetNode(), ID: m.GetPid().GetId()}, Reason: c.wireReason(m.GetReason()),
		}
	default:
		c.invalid("body", fmt.Sprintf("%T", body), "what emptyBody gives")
		return nil
	}
}

func refToWire(ref TaskRef) *WireTaskRef {
	return &WireTaskRef{
		TaskId: ref.TaskID, Kind: ref.Kind, Runner: ref.Runner, Run: ref.Run,
		Attempt: int32(ref.Attempt), MaxAttempts: int32(ref.MaxAttempts), // Encode refuses what does not fit
	}
}

func refFromWire(ref *WireTaskRef) TaskRef {
	return TaskRef{
		TaskID: ref.GetTaskId(), Kind: ref.GetKind(), Runner: ref.GetRunner(), Run: ref.GetRun(),
		Attempt: int(ref.GetAttempt()), MaxAttempts: int(ref.GetMaxAttempts()),
	}
}

func pidToWire(pid PID) *WirePID {
	if pid.IsZero() {
		return nil
	}
	return &WirePID{Node: pid.Node, Id: pid.ID}
}

func timeToWire(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// wireTime gives the zero time for an absent one.
func (c *checker) wireTime(field string, t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	if !t.IsValid() {
		c.invalid(field, t, "a time of the years 1 to 9999")
	}
	return t.AsTime()
}

func durationToWire(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// wireDuration refuses what Go's 292 years do not hold, of which AsDuration takes the nearest.
func (c *checker) wireDuration(field string, d *durationpb.Duration) time.Duration {
	if d == nil {
		return 0
	}
	if !d.IsValid() || !proto.Equal(d, durationpb.New(d.AsDuration())) {
		c.invalid(field, d, "a duration of at most 292 years")
	}
	return d.AsDuration()
}
