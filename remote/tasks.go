package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// tasksServer is the service for those who have only a gRPC toolchain.
type tasksServer struct {
	remotepb.UnimplementedTasksServer
	listener *Listener
}

// serve has f done for whoever is calling, when its turn has come. The error is as gRPC has it.
func (s *tasksServer) serve(ctx context.Context, f func(*peer) error) error {
	p := peerFrom(ctx)
	err := s.turn(ctx, p)
	if err == nil {
		err = f(p)
	}
	s.listener.note(p, err)
	return statusOf(err)
}

// turn waits until it is the peer's turn.
func (s *tasksServer) turn(ctx context.Context, p *peer) error {
	switch err := s.listener.rateOf(p.name).Wait(ctx); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return &actors.FullError{Limit: "MaxRate", Max: s.listener.limits.MaxRate} // its turn comes behind its deadline
}

// Run has a runner run a task.
func (s *tasksServer) Run(ctx context.Context, r *remotepb.RunRequest) (answer *remotepb.RunResponse, err error) {
	err = s.serve(ctx, func(p *peer) (err error) {
		answer, err = s.run(ctx, p, r)
		return err
	})
	return answer, err
}

func (s *tasksServer) run(ctx context.Context, p *peer, r *remotepb.RunRequest) (*remotepb.RunResponse, error) {
	served, err := s.listener.served(p, []byte(r.GetRunner()))
	if err != nil {
		return nil, err
	}
	if err := p.may(actionRun, r.GetRunner(), r.GetKind()); err != nil {
		return nil, err
	}
	run, err := runOf(r)
	if err != nil {
		return nil, s.listener.refuse(p, refusedBadRun, err)
	}
	select {
	case <-s.listener.leaving:
		return nil, actors.ErrStopping
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, s.listener.limits.AcceptTimeout)
	defer cancel()
	a := served.submit(ctx, p.name, []messages.Run{run})[0]
	if a.existed && a.err == nil { // it may be of another kind than was said, or of another runner
		_, a.err = s.listener.mayDo(ctx, actionRead, p, served, run.TaskID)
	}
	if a.err != nil {
		return nil, a.err
	}
	return &remotepb.RunResponse{TaskId: run.TaskID, Existed: a.existed}, nil
}

// runOf checks a request, by the same rules as those of the envelope.
func runOf(r *remotepb.RunRequest) (messages.Run, error) {
	if err := validRun(r); err != nil {
		return messages.Run{}, err
	}
	run := messages.Run{
		TaskID: r.GetTaskId(), Kind: r.GetKind(), Args: []byte(r.GetArgs()), ScheduledAt: timeOf(r.GetScheduledAt()),
		MaxAttempts: int(r.GetMaxAttempts()), Priority: int(r.GetPriority()),
	}
	if r.GetTimeout() != nil {
		run.Timeout = r.GetTimeout().AsDuration()
	}
	if len(run.Args) == 0 {
		run.Args = []byte("null")
	}
	if !json.Valid(run.Args) {
		return run, fmt.Errorf("%w: args is %.64q, want JSON", ErrInvalid, r.GetArgs())
	}
	if run.TaskID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return run, fmt.Errorf("remote: make a task id: %w", err)
		}
		run.TaskID = id.String()
	}
	_, err := messages.Encode(run)
	return run, err
}

// validRun checks the fields of which the envelope would say the names that they have in Go.
func validRun(r *remotepb.RunRequest) error {
	if r.GetTaskId() != "" {
		if err := validID("task_id", r.GetTaskId()); err != nil {
			return err
		}
	}
	if err := store.ValidName("kind", r.GetKind()); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if r.GetMaxAttempts() < 0 {
		return fmt.Errorf("%w: max_attempts is %d, want at least 0", ErrInvalid, r.GetMaxAttempts())
	}
	if r.GetTimeout() != nil && (r.GetTimeout().CheckValid() != nil || r.GetTimeout().AsDuration() < 0) {
		return fmt.Errorf("%w: timeout is %d s and %d ns, want a duration of at least 0", ErrInvalid, r.GetTimeout().GetSeconds(), r.GetTimeout().GetNanos())
	}
	if r.GetScheduledAt() != nil && r.GetScheduledAt().CheckValid() != nil {
		return fmt.Errorf("%w: scheduled_at is %d s and %d ns, want a time from the year 1 to 9999", ErrInvalid, r.GetScheduledAt().GetSeconds(), r.GetScheduledAt().GetNanos())
	}
	return validPriority(int(r.GetPriority()))
}

// Await answers with the final outcome of a task.
func (s *tasksServer) Await(ctx context.Context, r *remotepb.AwaitRequest) (*remotepb.AwaitResponse, error) {
	answer := &remotepb.AwaitResponse{}
	err := s.serve(ctx, func(p *peer) (err error) {
		answer.Outcome, err = s.await(ctx, p, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (s *tasksServer) await(ctx context.Context, p *peer, r *remotepb.AwaitRequest) (*remotepb.Outcome, error) {
	served, err := s.listener.served(p, []byte(r.GetRunner()))
	if err != nil {
		return nil, err
	}
	if err := validID("task_id", r.GetTaskId()); err != nil {
		return nil, err
	}
	task, err := s.listener.mayDo(ctx, actionRead, p, served, r.GetTaskId())
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.listener.until(ctx, p, s.listener.ending)
	defer cancel()
	s.listener.awaiting.Add(1)
	defer s.listener.awaiting.Add(-1)
	message, err := served.outcome(ctx, p.name, task)
	if err != nil {
		return nil, causeOr(ctx, err)
	}
	outcome, err := outcomeOfMessage(message)
	served.arrived(p.name, r.GetTaskId(), false)
	return outcome, err
}

// outcome waits for the outcome of a task.
func (s *served) outcome(ctx context.Context, owner string, task store.Task) (message any, err error) {
	switch {
	case task.State.Final():
		return actors.OutcomeOf(task), nil
	case s.inbox == nil:
		return s.runner.Outcome(ctx, task.ID)
	}
	one := &oneOutcome{told: make(chan struct{})}
	leave, err := s.watch(ctx, owner, task, follower{to: one})
	if err != nil {
		return nil, err
	}
	defer leave()
	select {
	case <-one.told:
		return one.message, one.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// oneOutcome is told of one.
type oneOutcome struct {
	told    chan struct{}
	message any
	err     error
}

func (o *oneOutcome) tell(_ uint64, message any, err error) {
	o.message, o.err = message, err
	close(o.told)
}

// Watch gives the outcomes of a runner's recorded tasks.
func (s *tasksServer) Watch(r *remotepb.WatchRequest, stream remotepb.Tasks_WatchServer) error {
	return s.serve(stream.Context(), func(p *peer) error { return s.watch(p, r, stream) })
}

func (s *tasksServer) watch(p *peer, r *remotepb.WatchRequest, stream remotepb.Tasks_WatchServer) error {
	served, err := s.listener.served(p, []byte(r.GetRunner()))
	if err != nil {
		return err
	}
	if err := p.may(actionRead, r.GetRunner(), ""); err != nil {
		return err
	}
	if served.inbox != nil {
		return fmt.Errorf("remote: runner %q: %w", r.GetRunner(), actors.ErrNoStore)
	}
	ctx, cancel := s.listener.until(stream.Context(), p, s.listener.leaving)
	defer cancel()
	outcomes, err := served.outcomes(ctx, p.name, r)
	if err != nil {
		return causeOr(ctx, err)
	}
	for task, err := range outcomes {
		if err != nil {
			return causeOr(ctx, err)
		}
		if !p.sees(r.GetRunner(), task.Kind) {
			continue // of a kind that it may not see
		}
		if err := stream.Send(&remotepb.WatchResponse{Outcome: outcomeOfTask(task)}); err != nil {
			return err
		}
	}
	return nil
}

// until gives a context that ends with actors.ErrStopping when the listener has come so far in stopping, and with what peer.stays says when that is
// the end of what the client may do.
func (l *Listener) until(ctx context.Context, p *peer, stopping <-chan struct{}) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(roomEvery)
		defer ticker.Stop()
		for inner.Err() == nil {
			select {
			case <-stopping:
				cancel(actors.ErrStopping)
			case now := <-ticker.C:
				if err := p.stays(now); err != nil {
					cancel(err)
				}
			case <-inner.Done():
			}
		}
	}()
	return inner, func() { cancel(nil); <-ended }
}

// causeOr prefers why ctx has ended to what somebody else makes of that.
func causeOr(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// Cancel says that a task is no longer wanted.
func (s *tasksServer) Cancel(ctx context.Context, r *remotepb.CancelRequest) (*remotepb.CancelResponse, error) {
	if err := s.serve(ctx, func(p *peer) error { return s.cancel(ctx, p, r) }); err != nil {
		return nil, err
	}
	return &remotepb.CancelResponse{}, nil
}

func (s *tasksServer) cancel(ctx context.Context, p *peer, r *remotepb.CancelRequest) error {
	served, err := s.listener.served(p, []byte(r.GetRunner()))
	if err != nil {
		return err
	}
	return s.listener.cancel(ctx, p, p.name, served, r.GetTaskId())
}
