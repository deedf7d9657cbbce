package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
	"github.com/taskrunner-go/taskrunner/store"
)

// linkServer is the service for Go clients.
type linkServer struct {
	remotepb.UnimplementedLinkServer
	listener *Listener
}

// Connect is one stream of one client.
func (s *linkServer) Connect(stream remotepb.Link_ConnectServer) error {
	return newSession(s.listener, stream).run()
}

func newSession(l *Listener, stream remotepb.Link_ConnectServer) *session {
	p := peerFrom(stream.Context())
	return &session{
		listener: l, stream: stream, peer: p, in: newOutbox[frame](), out: newOutbox[answer](), owed: map[uint64]*debt{}, rate: l.rateOf(p.name),
	}
}

// seat is a session that is open.
type seat struct {
	session *session
	cancel  context.CancelCauseFunc
	ended   chan struct{}
}

// enter gives the session its seat. A client has one stream at a time: with its next one the one before is over, and what that had still
// to deal with is dealt with before anything of the next is, so that the order is kept and nothing that was sent again comes twice.
func (l *Listener) enter(ctx context.Context, s *session, cancel context.CancelCauseFunc) (leave func(), err error) {
	mine := &seat{session: s, cancel: cancel, ended: make(chan struct{})}
	for {
		l.mu.Lock()
		before := l.sessions[s.key]
		if before == nil {
			err := l.seat(mine)
			l.mu.Unlock()
			if err != nil {
				return nil, l.refuse(s.peer, refusedClients, err)
			}
			return func() { l.leave(s.key, mine) }, nil
		}
		l.mu.Unlock()
		before.cancel(errReplaced)
		select {
		case <-before.ended:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// seat puts a client among those that have a stream, if there is room. It is called with the lock.
func (l *Listener) seat(mine *seat) error {
	name, namesakes := mine.session.peer.name, 0
	for _, other := range l.sessions {
		if other.session.peer.name == name {
			namesakes++
		}
	}
	switch {
	case len(l.sessions) >= l.limits.MaxClients:
		return &actors.FullError{Limit: "MaxClients", Max: l.limits.MaxClients}
	case namesakes >= l.limits.MaxClientsPerName:
		return &actors.FullError{Limit: "MaxClientsPerName", Max: l.limits.MaxClientsPerName}
	}
	l.sessions[mine.session.key] = mine
	return nil
}

func (l *Listener) leave(key string, mine *seat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sessions, key)
	close(mine.ended)
}

// rateOf is the share of a client, whatever its streams.
func (l *Listener) rateOf(name string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.rates[name]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Limit(l.limits.MaxRate), max(l.limits.MaxRate, maxRequests))
		l.rates[name] = limiter
	}
	return limiter
}

// rooms is how much room the runners have that this client may use.
func (l *Listener) rooms(p *peer) []*remotepb.Room {
	rooms := make([]*remotepb.Room, 0, len(l.runners))
	for name, s := range l.runners {
		if p.sees(name, "") {
			rooms = append(rooms, s.room())
		}
	}
	return rooms
}

// changedRooms gives those of now that are not as they were.
func changedRooms(before, now []*remotepb.Room) []*remotepb.Room {
	was := make(map[string]*remotepb.Room, len(before))
	for _, r := range before {
		was[r.GetRunner()] = r
	}
	var changed []*remotepb.Room
	for _, r := range now {
		if !proto.Equal(was[r.GetRunner()], r) {
			changed = append(changed, r)
		}
	}
	return changed
}

// mayDo finds a task, or gives the reason why a client may not know of it, or not do that to it: its kind, of which the error says nothing to
// whoever has only the id.
func (l *Listener) mayDo(ctx context.Context, a action, p *peer, s *served, taskID string) (store.Task, error) {
	if err := p.may(a, s.runner.Name(), ""); err != nil {
		return store.Task{}, err
	}
	task, err := s.find(ctx, taskID)
	if err != nil || task.Kind == "" {
		return task, err
	}
	if err := p.may(a, s.runner.Name(), task.Kind); err != nil {
		if errors.Is(err, ErrNotAllowed) {
			err = notAllowed(p.name, a, s.runner.Name(), "")
		}
		return store.Task{}, err
	}
	return task, nil
}

// cancel cancels a task for a client.
func (l *Listener) cancel(ctx context.Context, p *peer, owner string, s *served, taskID string) error {
	if err := validID("task_id", taskID); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, l.limits.AcceptTimeout)
	defer stop()
	if _, err := l.mayDo(ctx, actionCancel, p, s, taskID); err != nil {
		return err
	}
	return s.cancel(ctx, owner, taskID)
}

// cancelAt cancels a task at its deadline, unless it has ended by then. It does so also when the client is gone. Nothing of the request is kept for
// it: its client chooses the deadline, which may be in 8,000 years.
func (l *Listener) cancelAt(owner string, served *served, taskID string, until time.Time, a accepted) {
	p := l.timers.after(owner, time.Until(until), func() {
		ctx, stop := context.WithTimeout(context.Background(), l.limits.AcceptTimeout)
		defer stop()
		if _, err := served.runner.Cancel(ctx, taskID); err != nil {
			l.logger.Debug("remote: a task was not cancelled at its deadline", "task", taskID, "error", err)
		}
	})
	leave := served.follow(owner, taskID, a, follower{to: p})
	if leave == nil {
		leave = func() { served.inbox.leave(taskID, follower{to: p}) }
	}
	l.timers.holds(p, leave)
}

var (
	errReplaced = fmt.Errorf("%w: the client has opened another stream", ErrClosed)
	errNoHello  = fmt.Errorf("%w: no Hello within %s", ErrInvalid, helloTimeout)
	errPanicked = fmt.Errorf("remote: a mistake in the listener, which its log tells of")
)
