package remote

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// Outcomes gives the outcomes of the runner's recorded tasks in the one order in which they were recorded, and waits for more until ctx ends, as
// actors.TaskRunner.Outcomes does: keep the Pos of the last that you have dealt with, and begin behind it when you come back. A task
// has what travels of it: its ID, Kind, Runner, State, Result, Attempt, Run, Pos, its times, and the text of its last error in History. A
// client that may not see a kind does not get its outcomes.
//
// A connection that is lost is made again, and the sequence goes on. It ends with an error: the cause of ctx, ErrNoConnection if nobody could be
// reached for DialConfig.Away, actors.ErrNoStore, store.ErrCursorExpired or store.ErrCursorAhead. A cursor is of one database: where a client
// reaches runners of one name with several databases, ask each with a client of its own.
func (r *Runner) Outcomes(ctx context.Context, after int64) iter.Seq2[store.Task, error] {
	return r.watch(ctx, &remotepb.WatchRequest{Runner: r.name, After: after})
}

// Subscription is a subscriber with a name, for which outcomes are kept until it has acknowledged them.
type Subscription struct {
	runner *Runner
	name   string
	after  int64
}

// Subscribe gives the subscriber of that name. Others who come with the same token or certificate share it, nobody else does. The first time
// it begins behind after, which may be store.FromOldest or store.FromNow, and then, also over restarts, behind what it has acknowledged.
// The listener learns of it with Outcomes. name is not empty and has at most store.MaxName bytes. Unsubscribe when it is not needed any more: those
// with the same token or certificate have at most Limits.MaxSubscribers at a runner.
func (r *Runner) Subscribe(name string, after int64) *Subscription {
	return &Subscription{r, name, after}
}

// Outcomes gives what the subscriber has not acknowledged, and waits for more; see Runner.Outcomes. What it has not acknowledged comes again the
// next time, and not in the same sequence, also if the connection was lost meanwhile.
func (s *Subscription) Outcomes(ctx context.Context) iter.Seq2[store.Task, error] {
	if err := s.valid(); err != nil {
		return func(yield func(store.Task, error) bool) { yield(store.Task{}, err) }
	}
	return s.runner.watch(ctx, &remotepb.WatchRequest{Runner: s.runner.name, After: s.after, Subscriber: s.name})
}

// valid says what is wrong with the name. An empty one is to the listener nobody with a name, for whom nothing is kept, and of what is no UTF-8
// gRPC does not say which field it is.
func (s *Subscription) valid() error {
	if s.name == "" || !utf8.ValidString(s.name) {
		return fmt.Errorf("%w: the name of the subscriber is %q, want 1 to %d bytes of UTF-8", ErrInvalid, s.name, store.MaxName)
	}
	return nil
}

// Acknowledge says up to where the subscriber has dealt with the outcomes: the Pos of the last one.
func (s *Subscription) Acknowledge(ctx context.Context, pos int64) error {
	if err := s.valid(); err != nil {
		return err
	}
	request := &remotepb.AcknowledgeRequest{Runner: s.runner.name, Subscriber: s.name, Cursor: pos}
	return s.runner.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := remotepb.NewTasksClient(conn).Acknowledge(ctx, request)
		return err
	})
}

// Unsubscribe forgets the subscriber, wherever it is read: what it has not acknowledged is not kept for it any more. It is idempotent. After
// store.ErrCursorExpired it is the way to begin anew.
func (s *Subscription) Unsubscribe(ctx context.Context) error {
	if err := s.valid(); err != nil {
		return err
	}
	request := &remotepb.UnsubscribeRequest{Runner: s.runner.name, Subscriber: s.name}
	return s.runner.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := remotepb.NewTasksClient(conn).Unsubscribe(ctx, request)
		return err
	})
}

// watch watches again and again, from where it was.
func (r *Runner) watch(ctx context.Context, request *remotepb.WatchRequest) iter.Seq2[store.Task, error] {
	return func(yield func(store.Task, error) bool) {
		more, last := true, int64(0)
		err := r.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
			progress, err := watchOnce(ctx, conn, request, func(t store.Task) bool {
				if t.Pos > last { // the listener begins anew where a subscriber has acknowledged
					last, more = t.Pos, yield(t, nil)
				}
				return more
			})
			if progress && again(err) {
				return &progressed{err}
			}
			return err
		})
		if more {
			yield(store.Task{}, err)
		}
	}
}

// watchOnce reports whether something came.
func watchOnce(ctx context.Context, conn *grpc.ClientConn, request *remotepb.WatchRequest, take func(store.Task) bool) (progress bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := remotepb.NewTasksClient(conn).Watch(ctx, request)
	if err != nil {
		return false, err
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return progress, err
		}
		task := taskOf(answer.GetOutcome())
		progress = true
		request.After = task.Pos
		if !take(task) {
			return progress, nil
		}
	}
}

// progressed is an error behind which it is tried again as if for the first time.
type progressed struct{ error }

// call makes a call of gRPC to somebody who has the runner, and again to whoever is there when the connection is lost.
func (r *Runner) call(ctx context.Context, f func(ctx context.Context, conn *grpc.ClientConn) error) error {
	if !utf8.ValidString(r.name) {
		return unknownRunner(r.name)
	}
	ctx, stop := r.client.whileOpen(ctx)
	defer stop()
	since := time.Now()
	for failures := 0; ; failures++ {
		conn, err := r.client.connTo(r.name)
		if conn != nil {
			err = ofStatus(f(ctx, conn), r.name, "")
		}
		if _, ok := errors.AsType[*progressed](err); ok {
			since, failures = time.Now(), 0
		}
		if status.Code(err) == codes.DeadlineExceeded {
			awaitDeadline(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !again(err), conn == nil && errors.Is(err, ErrUnauthenticated):
			return err
		case time.Since(since) > r.client.config.Away && !errors.Is(err, ErrNoConnection):
			return fmt.Errorf("%w: %w", ErrNoConnection, err)
		case time.Since(since) > r.client.config.Away:
			return err
		}
		if !pause(ctx, reconnectPause(failures, rand.Float64())) {
			return context.Cause(ctx)
		}
	}
}

// again is whether it may be tried again: nobody was there, or whoever was is about to go.
func again(err error) bool {
	return errors.Is(err, ErrNoConnection) || errors.Is(err, actors.ErrStopping) || errors.Is(err, store.ErrUnavailable) ||
		status.Code(err) == codes.Canceled // by the other side: nobody has done so here
}

// awaitDeadline waits for a deadline that gRPC says has passed: its clock is a moment ahead.
func awaitDeadline(ctx context.Context) {
	const ahead = time.Second
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < ahead {
		<-ctx.Done()
	}
}

// whileOpen gives a context that ends with ErrClosed when the client is closed.
func (c *Client) whileOpen(ctx context.Context) (context.Context, func()) {
	inner, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })
	return inner, func() { unhook(); cancel(nil) }
}

// connTo gives a connection to somebody who has the runner.
func (c *Client) connTo(runner string) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.unlock()
	up := 0
	var anyone *grpc.ClientConn
	for _, l := range c.links {
		if !l.up || l.leaving {
			continue
		}
		up++
		anyone = l.conn
		if l.rooms[runner] != nil {
			return l.conn, nil
		}
	}
	if up > 0 && up == len(c.links) {
		return anyone, nil // which says why not
	}
	err := c.noConnectionLocked()
	if errors.Is(err, ErrUnauthenticated) && !c.isUnknownEverywhere() {
		err = ErrNoConnection // others may know who is calling
	}
	return nil, err
}
