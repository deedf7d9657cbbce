package remote

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// appendOutcome appends the envelope with the end of a task, or a Down. What a runner that records nothing has completed is still a Go value.
func appendOutcome(data []byte, outcome any) ([]byte, error) {
	m, ok := outcome.(messages.Completed)
	if !ok {
		return messages.Append(data, outcome)
	}
	var err error
	if m.Result, err = resultOf(m); err != nil {
		return data, err
	}
	return messages.AppendCompleted(data, m)
}

// resultOf is the value as JSON.
func resultOf(m messages.Completed) ([]byte, error) {
	if m.Result != nil || m.Value == nil {
		return m.Result, nil
	}
	result, err := marshalSafely(m.Value)
	if err == nil && len(result) > store.MaxResult {
		err = fmt.Errorf("%d bytes as JSON, want at most %d", len(result), store.MaxResult)
	}
	if err != nil {
		return nil, fmt.Errorf("remote: task %s has completed, but its result cannot travel: %w", m.TaskID, err)
	}
	return result, nil
}

// marshalSafely runs code of the user's.
func marshalSafely(value any) (data []byte, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = &messages.PanicError{Value: reason}
		}
	}()
	return json.Marshal(value)
}

// outcomeOfMessage is the end of a task as the service for other languages tells it.
func outcomeOfMessage(message any) (*remotepb.Outcome, error) {
	switch m := message.(type) {
	case messages.Completed:
		result, err := resultOf(m)
		o := ended(m.TaskRef, remotepb.State_STATE_COMPLETED, m.StartedAt, m.FinishedAt)
		o.Result = string(result)
		return o, err
	case messages.Cancelled:
		o := ended(m.TaskRef, remotepb.State_STATE_CANCELLED, time.Time{}, m.FinishedAt)
		o.Error = textOf(m.Reason)
		return o, nil
	case messages.Failed:
		o := ended(m.TaskRef, remotepb.State_STATE_DISCARDED, m.StartedAt, m.FinishedAt)
		o.Error = textOf(m.Reason)
		return o, nil
	}
	return nil, fmt.Errorf("remote: a %T is no outcome", message)
}

func ended(ref messages.TaskRef, state remotepb.State, startedAt, finishedAt time.Time) *remotepb.Outcome {
	return &remotepb.Outcome{
		TaskId: ref.TaskID, Kind: ref.Kind, Runner: ref.Runner, State: state, Attempt: int32(ref.Attempt), Run: ref.Run,
		StartedAt: stamp(startedAt), FinishedAt: stamp(finishedAt),
	}
}

// outcomeOfTask is the end of a recorded task.
func outcomeOfTask(t store.Task) *remotepb.Outcome {
	o := &remotepb.Outcome{
		TaskId: t.ID, Kind: t.Kind, Runner: t.Runner, State: states[t.State], Attempt: int32(t.Attempt), Run: t.Run,
		StartedAt: stamp(t.StartedAt), FinishedAt: stamp(t.FinishedAt), Cursor: t.Pos,
	}
	if t.State == store.Completed {
		o.Result = string(t.Result)
	} else if n := len(t.History); n > 0 {
		o.Error = cut(t.History[n-1].Error, maxText)
	}
	return o
}

// states are the final ones on the wire.
var states = map[store.State]remotepb.State{
	store.Completed: remotepb.State_STATE_COMPLETED,
	store.Cancelled: remotepb.State_STATE_CANCELLED,
	store.Discarded: remotepb.State_STATE_DISCARDED,
}

// taskOf is an outcome of the wire as a task, as far as it travels.
func taskOf(o *remotepb.Outcome) store.Task {
	t := store.Task{
		ID: o.GetTaskId(), Kind: o.GetKind(), Runner: o.GetRunner(), Attempt: int(o.GetAttempt()), Run: o.GetRun(), Pos: o.GetCursor(),
		StartedAt: timeOf(o.GetStartedAt()), FinishedAt: timeOf(o.GetFinishedAt()),
	}
	t.State = stateOf(o.GetState())
	if t.State == store.Completed {
		t.Result = []byte(o.GetResult())
		return t
	}
	t.History = []store.Attempt{{
		Attempt: t.Attempt, Run: t.Run, State: t.State, StartedAt: t.StartedAt, FinishedAt: t.FinishedAt, Error: o.GetError(),
	}}
	return t
}

// stateOf gives for a state of a newer listener its number: a subscriber then sees that the task has not completed, and goes on behind it.
func stateOf(wire remotepb.State) store.State {
	for state, is := range states {
		if is == wire {
			return state
		}
	}
	return store.State(wire.String())
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return cut(err.Error(), maxText)
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
