package remote

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/remote/remotepb"
)

// linkServer is the service for Go clients.
type linkServer struct {
	remotepb.UnimplementedLinkServer
	listener *Listener
}

// Connect is one stream of one client.
func (s *linkServer) Connect(stream remotepb.Link_ConnectServer) error {
	p := peerFrom(stream.Context())
	session := &session{
		listener: s.listener, stream: stream, peer: p, in: newOutbox[frame](), out: newOutbox[answer](), owed: map[uint64]*debt{}, last: 0,
		rate: s.listener.rateOf(p.name),
	}
	return session.run()
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
			if len(l.sessions) >= l.limits.MaxClients {
				l.mu.Unlock()
				return nil, l.refuse(s.peer, refusedClients, fullError("", l.limits.MaxClients))
			}
			l.sessions[s.key] = mine
			l.mu.Unlock()
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

// mayKnow reports why a client may not know of a task: its kind, or, where nothing is recorded, whose it is.
func (l *Listener) mayKnow(ctx context.Context, p *peer, s *served, taskID string) error {
	return l.mayDo(ctx, actionRead, p, s, taskID)
}

func (l *Listener) mayDo(ctx context.Context, a action, p *peer, s *served, taskID string) error {
	if err := p.may(a, s.runner.Name(), ""); err != nil {
		return err
	}
	kind, err := s.kindOf(ctx, taskID)
	if err != nil || kind == "" {
		return err
	}
	return p.may(a, s.runner.Name(), kind)
}

// cancel cancels a task for a client.
func (l *Listener) cancel(ctx context.Context, p *peer, owner string, s *served, taskID string) error {
	if err := validID("task_id", taskID); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, l.limits.AcceptTimeout)
	defer stop()
	if err := l.mayDo(ctx, actionCancel, p, s, taskID); err != nil {
		return err
	}
	return s.cancel(ctx, owner, taskID)
}

// cancelAt cancels a task at its deadline, unless its outcome has arrived by then. It does so also when the client is gone.
func (l *Listener) cancelAt(s *session, served *served, taskID string, w wanted) {
	alive := l.timers.after(time.Until(w.until), func() {
		ctx, stop := context.WithTimeout(context.Background(), l.limits.AcceptTimeout)
		defer stop()
		if _, err := served.runner.Cancel(ctx, taskID); err != nil {
			l.logger.Debug("remote: a task was not cancelled at its deadline", "task", taskID, "error", err)
		}
	})
	if w.debt == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.debt.alive = alive
}

// fullError says which limit of the listener is reached.
func fullError(runner string, limit int) error {
	return &actors.FullError{Runner: runner, Limit: "MaxUnacknowledged", Max: limit}
}

var (
	errReplaced = fmt.Errorf("%w: the client has opened another stream", ErrClosed)
	errNoHello  = fmt.Errorf("%w: no Hello within %s", ErrInvalid, helloTimeout)
	errPanicked = fmt.Errorf("remote: a mistake in the listener, which its log tells of")
)
