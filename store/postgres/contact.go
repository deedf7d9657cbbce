package postgres

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// contact knows whether the server was there when it was last asked. Its zero value says that it was.
type contact struct {
	mu      sync.Mutex
	lost    bool
	changed chan struct{} // closed at the next change; nil until somebody waits for it
}

// set records what the last exchange with the server was like.
func (c *contact) set(lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost == lost {
		return
	}
	c.lost = lost
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// watch says whether the server is away, and gives what is closed when that changes.
func (c *contact) watch() (lost bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.lost, c.changed
}

// source is where a connection comes from.
type source interface {
	link(ctx context.Context) (*link, error)
	// done takes the connection back. broken: it is not to be used any more.
	done(l *link, broken bool)
}

// lent gives each call a connection of the pool.
type lent struct{ s *Store }

func (p lent) link(ctx context.Context) (*link, error) {
	return take(ctx, p.s.pool, p.s.cfg.TransactionPooling)
}

func (p lent) done(l *link, broken bool) {
	if broken {
		l.close()
		return
	}
	l.give()
}

// keeper keeps a connection from one call to the next, so that callers who use up the pool cannot hold us up. It is used by one
// goroutine, which closes it. While it keeps a connection of somebody's pool, that has our settings.
type keeper struct {
	lent
	kept *link
}

func (k *keeper) link(ctx context.Context) (*link, error) {
	if k.kept != nil {
		return k.kept, nil
	}
	l, err := k.lent.link(ctx)
	if err != nil {
		return nil, err
	}
	if err := k.change(ctx, l, `SET `, ` = `); err != nil {
		l.close()
		return nil, err
	}
	k.kept = l
	return l, nil
}

// change sets or resets the settings, if the connection is lent and its session is ours.
func (k *keeper) change(ctx context.Context, l *link, verb, equals string) error {
	if k.s.ours || l.pooled {
		return nil
	}
	for name, value := range settings() {
		text := verb + name
		if equals != "" {
			text += equals + value
		}
		if err := l.run(ctx, newStatement(text).with()); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) done(l *link, broken bool) {
	if broken || l.pg.IsClosed() {
		l.close()
		k.kept = nil
	}
}

func (k *keeper) close() {
	if k.kept == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	if k.change(ctx, k.kept, `RESET `, "") != nil {
		k.kept.close()
	} else {
		k.kept.give()
	}
	k.kept = nil
}

// How long to wait between two attempts; half of it, up to all of it, at random.
const (
	firstWait   = 5 * time.Millisecond
	longestWait = 500 * time.Millisecond
)

// work is what is done with a connection. It may be done again on another.
type work func(ctx context.Context, l *link) error

// persist does the work until its answer is known: while the server is away, and when it asks for the same once more, it tries
// again, until the context ends.
func (s *Store) persist(ctx context.Context, from source, f work) error {
	var doubtful backend
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		err := s.try(ctx, from, &doubtful, f)
		what := judge(err)
		switch {
		case ctx.Err() != nil && err != nil:
			return s.given(ctx, err)
		case what == absent:
			s.contact.set(true)
		default:
			s.contact.set(false)
		}
		if err == nil || what == final {
			return err
		}
		pause(ctx, wait/2+rand.N(wait/2))
	}
}

// given is the error of a call whose context has ended.
func (s *Store) given(ctx context.Context, err error) error {
	if lost, _ := s.contact.watch(); lost {
		return away(ctx, err)
	}
	return ended(ctx)
}

// try does the work once.
func (s *Store) try(ctx context.Context, from source, doubtful *backend, f work) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	l, err := from.link(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if l.session.inDoubt {
			*doubtful = l.session.backend
		}
		code := codeOf(err)
		from.done(l, code == "26000" || code == "0A000")
	}()
	if err := l.end(ctx, *doubtful); err != nil {
		return err
	}
	*doubtful = backend{}
	return f(ctx, l)
}

// pause waits.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
