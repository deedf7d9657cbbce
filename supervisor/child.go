package supervisor

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
)

// child is one child of a supervisor of any kind.
type child struct {
	spec       ChildSpec
	pid        messages.PID // zero if it does not run; while restarting, that of the process before (DS-15)
	restarting bool
	ending     process.Ending // of its process
	restarts   int            // how often it was started again
	lastExit   error          // why it ended the last time
	failure    error          // why its last start failed, as it may be shown
	turn       int            // which wait for a restart this is, so that a late message for an earlier one is known
	retry      func() bool

	// Of a dynamic supervisor, which stops without waiting.
	stopping  bool           // told to stop: however it ends, it is not started again
	deadline  time.Time      // when its grace is over, once it was told; zero without a limit
	waiting   []process.From // who asked for its end
	killTimer func() bool
}

func (c *child) running() bool { return !c.pid.IsZero() && !c.restarting }

func (c *child) entry() Child {
	entry := Child{
		ID: c.spec.ID, Type: c.spec.Type, Restart: c.spec.Restart,
		Restarting: c.restarting, Restarts: c.restarts, LastExit: c.lastExit,
	}
	if c.running() {
		entry.PID = c.pid
	}
	return entry
}

// count adds a child to the counts.
func (n *Counts) count(c *child) {
	n.Specs++
	if c.running() {
		n.Active++
	}
	if c.spec.Type == TypeSupervisor {
		n.Supervisors++
	} else {
		n.Workers++
	}
}

// start runs the Start of a child and makes its process a child of the supervisor's, whatever Start did, so that its end is
// heard of and it does not outlive its supervisor; of one that is dead already an Exit follows. taken reports whether a PID is
// another child's.
func (c *child) start(ctx context.Context, system *System, taken func(messages.PID) bool) (messages.PID, error) {
	pid, err := c.startSafely(ctx)
	if err != nil {
		return messages.PID{}, err
	}
	if taken(pid) || !process.Adoptable(ctx, system, pid) {
		c.failure = fmt.Errorf("supervisor: child %q: Start gave %s, want a process of its own", c.spec.ID, pid)
		return messages.PID{}, c.failure
	}
	c.ending = process.Watch(system, pid) // now: of one that is stopped when it is gone already, nobody knows the reason any more
	process.Adopt(ctx, system, pid, process.Place{ID: c.spec.ID, Restarts: c.restarts, LastExit: c.lastExit})
	return pid, nil
}

// startSafely runs a Start, which is the user's code (DS-06), in a goroutine of its own: a Goexit ends that goroutine, and
// in the supervisor's it would end the supervisor. What its error has to say is asked there too.
func (c *child) startSafely(ctx context.Context) (messages.PID, error) {
	type result struct {
		pid        messages.PID
		err, shown error
	}
	last := result{err: messages.ErrGoexit, shown: messages.ErrGoexit} // unless Start, and the methods of its error, return
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var r result
		if r.pid, r.err = c.guardedStart(ctx); r.err != nil {
			r.shown = process.Settle(r.err)
		}
		last = r
	}()
	<-ended
	c.failure = last.shown
	return last.pid, last.err
}

// guardedStart makes a panic an error.
func (c *child) guardedStart(ctx context.Context) (pid messages.PID, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &messages.PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	return callStart(ctx, c.spec)
}

// callStart checks what Start gives. It asks here whether an error is ErrIgnore, since its methods are the user's code too.
func callStart(ctx context.Context, spec ChildSpec) (messages.PID, error) {
	pid, err := spec.Start(ctx)
	switch {
	case messages.Is(err, ErrIgnore):
		return messages.PID{}, ErrIgnore
	case err == nil && pid.IsZero():
		return messages.PID{}, fmt.Errorf("supervisor: child %q: Start gave neither a PID nor an error", spec.ID)
	}
	return pid, err
}

// isIgnore is for what callStart gives, which has asked what the error wraps.
func isIgnore(err error) bool { return err == ErrIgnore } //nolint:errorlint // see above

// reports logs what a supervisor's children do, as OTP's supervisor reports do. It is given reasons as they may be shown, since
// the methods of an error are the user's code.
type reports struct {
	system     *System
	supervisor string // its name; empty without one
}

func (r reports) report(what string, c *child, shown error) {
	process.Report(r.system, what, "supervisor", r.supervisor, "child", c.spec.ID, "pid", c.pid.String(), "restart", c.spec.Restart.String(), "reason", shown)
}

// ended reports the end of a child by itself, unless it was to end: that of a permanent one always is (SV-08).
func (r reports) ended(c *child, shown error) {
	if c.spec.Restart == Permanent || !messages.IsClean(shown) {
		r.report("child ended", c, shown)
	}
}

// startFailed reports a start that failed; that a child does not want to be started is no failure.
func (r reports) startFailed(c *child) { r.report("child did not start", c, c.failure) }

// stopped reports how a child ended that was told to stop, if not as it should (SH-07).
func (r reports) stopped(c *child) {
	if shown := c.ending.Shown(); isShutdownError(c.spec.Restart, c.spec.grace() == BrutalKill, shown) {
		r.report("child did not stop as told", c, shown)
	}
}
