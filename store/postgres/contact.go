package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/taskrunner-go/taskrunner/store"
)

// contact knows whether the server was there when it was last asked. Its zero value says that it was.
type contact struct {
	logger *slog.Logger // is told of each outage; nil: nobody is

	mu      sync.Mutex
	lost    bool
	reason  error         // of the last failure
	failed  time.Time     // when that was
	told    bool          // of the outage that it was part of
	changed chan struct{} // closed when lost changes; nil until somebody waits for it
}

// calm is how long the server must have been there for the next failure to be another outage: while it lets us have some connections
// but no more, calls fail and succeed in turns.
const calm = 10 * time.Second

// lose records that the server was not there, and why. The first failure is not told: it may be that of one connection, which broke long
// ago.
func (c *contact) lose(reason error, now time.Time) {
	c.mu.Lock()
	if now.Sub(c.failed) > calm {
		c.told = false
	}
	tell := c.lost && !c.told
	c.told = c.told || tell
	c.reason, c.failed = reason, now
	c.change(true)
	c.mu.Unlock()
	if tell && c.logger != nil {
		c.logger.Warn("the database cannot be reached", "error", reason)
	}
}

// find records that the server was there.
func (c *contact) find() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change(false)
}

// change is called with the lock.
func (c *contact) change(lost bool) {
	if c.lost == lost {
		return
	}
	c.lost = lost
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// note notes whether the server was there at an attempt: what was in the way, or nil.
func (c *contact) note(reason error) {
	if reason == nil {
		c.find()
		return
	}
	c.lose(reason, time.Now())
}

// fresh is how long a failure is the reason for those who wait for others to try. Meanwhile some of these may have succeeded.
const fresh = 2 * longestWait

// why is what is in the way, or nil if that is nothing.
func (c *contact) why(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lost && now.Sub(c.failed) > fresh {
		return nil
	}
	return c.reason
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
	l, err := take(ctx, p.s.pool, p.s.cfg.TransactionPooling)
	if isClosedPool(err) {
		go p.s.Close() //nolint:errcheck // whoever calls Close waits for this one, and is told
		return nil, fmt.Errorf("%w, since its pool was closed", store.ErrClosed)
	}
	return l, err
}

func (p lent) done(l *link, broken bool) {
	if broken {
		l.close()
		return
	}
	l.give()
}

// isClosedPool knows the error by its text, because the pool gives that of a package which is not ours to import; a test holds it.
func isClosedPool(err error) bool { return err != nil && err.Error() == "closed pool" }

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
	var reason error // why the server was not there at the last attempt; nil: it was
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		err := s.try(ctx, from, &doubtful, f)
		if ctx.Err() != nil && err != nil {
			return s.given(ctx, reason)
		}
		reason = absence(err)
		s.contact.note(reason)
		if judge(err) == final {
			return err
		}
		pause(ctx, wait/2+rand.N(wait/2))
	}
}

// given is the error of a call whose context has ended. The reason is why its own last attempt has failed; nil: that is not known, or it
// has made none.
func (s *Store) given(ctx context.Context, reason error) error {
	if reason = cmp.Or(reason, s.contact.why(time.Now())); reason != nil {
		return away(ctx, reason)
	}
	return ended(ctx)
}

// try does the work once.
func (s *Store) try(ctx context.Context, from source, doubtful *backend, f work) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	callers := ctx
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	defer func() {
		if callers.Err() == nil {
			err = unanswered(err, s.cfg.Timeout)
		}
	}()
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

// unanswered is the error of an exchange whose time was over, of which the error of its context says less. Somewhere in the pool it may
// have become context.Canceled, which would be taken for the caller's wish; so it is to be called only if the caller still waits. What has
// come of connecting names the address, and stays.
func unanswered(err error, limit time.Duration) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && !isConnecting(err) {
		return fmt.Errorf("there was no answer within %v", limit)
	}
	return err
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
