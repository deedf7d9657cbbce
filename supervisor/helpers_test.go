package supervisor_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errBoom      = errors.New("boom")
	shutdownWith = &messages.ShutdownWith{Value: "tired"}
	panicked     = &messages.PanicError{Value: "oops"}
)

// bench is a system in a bubble of time of its own, with what was logged and what its kids did.
type bench struct {
	t      *testing.T
	ctx    context.Context
	system *process.System
	log    bytes.Buffer

	mu     sync.Mutex
	events []string
}

// inBubble gives a test its bench, and stops the system behind it: what still runs an hour of its own time later fails it.
func inBubble(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, ctx: t.Context()}
		b.system = process.NewSystem(process.Config{Logger: slog.New(slog.NewTextHandler(&b.log, nil))})
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			if err := b.system.Stop(ctx); err != nil {
				t.Errorf("Stop of the system: %v", err)
			}
		}()
		test(b)
	})
}

func (b *bench) record(event string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, event)
}

// did gives what the kids did since it was asked the last time: "+a" a has started, "!a" its start failed, "~a" it did not
// want to, "-a" it ended by itself or was told to; "/a" a stubborn one is gone.
func (b *bench) did() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	did := strings.Join(b.events, " ")
	b.events = nil
	return did
}

// saw compares that with what was expected.
func (b *bench) saw(want string) {
	b.t.Helper()
	if got := b.did(); got != want {
		b.t.Errorf("the children did %q, want %q", got, want)
	}
}

// logged counts the lines of the log that have all these parts.
func (b *bench) logged(parts ...string) (lines int) {
	synctest.Wait()
	for line := range strings.Lines(b.log.String()) {
		has := true
		for _, part := range parts {
			has = has && strings.Contains(line, part)
		}
		if has {
			lines++
		}
	}
	return lines
}

// kid is a child that tells what it does, and does as it is told.
type kid struct {
	supervisor.ChildSpec
	b        *bench
	answers  []error        // of its next starts, the first first; a nil starts it, as what is beyond does
	slow     time.Duration  // how long its start takes
	stubborn time.Duration  // how long it does not end once it was told to
	doomed   error          // it ends with this as soon as it has started
	pids     []messages.PID // of all its starts
	tries    int            // how often Start was called
}

// kid makes a permanent worker.
func (b *bench) kid(id string) *kid {
	k := &kid{b: b}
	k.ID = id
	k.Start = k.starting(func(ctx context.Context) (messages.PID, error) {
		return process.Spawn(ctx, b.system, &worker{kid: k}, process.Options{Link: true, TrapExit: true})
	})
	return k
}

func (b *bench) temporary(id string) *kid { return b.kid(id).with(supervisor.Temporary) }
func (b *bench) transient(id string) *kid { return b.kid(id).with(supervisor.Transient) }

func (k *kid) with(restart supervisor.Restart) *kid {
	k.Restart = restart
	return k
}

// nest makes a permanent child that is a supervisor.
func (b *bench) nest(config supervisor.Config) *kid {
	k := &kid{b: b, ChildSpec: config.ChildSpec(b.system)}
	k.Start = k.starting(k.Start)
	return k
}

// starting wraps a Start in what a kid tells and is told.
func (k *kid) starting(start supervisor.StartFunc) supervisor.StartFunc {
	return func(ctx context.Context) (messages.PID, error) {
		k.called()
		time.Sleep(k.slow)
		pid, err := k.attempt(ctx, start)
		switch {
		case errors.Is(err, supervisor.ErrIgnore):
			k.b.record("~" + k.ID)
		case err != nil:
			k.b.record("!" + k.ID)
		default:
			k.started(pid)
			if k.doomed != nil {
				k.b.system.Send(ctx, pid, k.doomed)
			}
		}
		return pid, err
	}
}

func (k *kid) attempt(ctx context.Context, start supervisor.StartFunc) (messages.PID, error) {
	if err := k.answer(); err != nil {
		return messages.PID{}, err
	}
	return start(ctx)
}

func (k *kid) called() {
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	k.tries++
}

func (k *kid) started(pid messages.PID) {
	k.b.record("+" + k.ID)
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	k.pids = append(k.pids, pid)
}

func (k *kid) answer() (err error) {
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	if len(k.answers) > 0 {
		err, k.answers = k.answers[0], k.answers[1:]
	}
	return err
}

// will gives the answers of the next starts.
func (k *kid) will(answers ...error) {
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	k.answers = answers
}

// pid is the newest.
func (k *kid) pid() messages.PID {
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	if len(k.pids) == 0 {
		return messages.PID{}
	}
	return k.pids[len(k.pids)-1]
}

func (k *kid) alive() bool { return k.b.system.Alive(k.pid()) }

// worker is the process of a kid. An error that it is sent is its end; a function it runs; all else it counts.
type worker struct {
	kid   *kid
	count int
}

func (*worker) Init(context.Context) error { return nil }

func (w *worker) Handle(ctx context.Context, message any) error {
	switch m := message.(type) {
	case error:
		return m
	case func(ctx context.Context):
		m(ctx)
	case *process.Request:
		m.From.Reply(w.count, nil)
	default:
		w.count++
	}
	return nil
}

func (w *worker) Terminate(context.Context, error) {
	w.kid.b.record("-" + w.kid.ID)
	if w.kid.stubborn > 0 {
		time.Sleep(w.kid.stubborn)
		w.kid.b.record("/" + w.kid.ID)
	}
}

// end has a kid end with the reason, as a kill does if that is it, and waits until all is quiet.
func (b *bench) end(k *kid, reason error) {
	if reason == error(messages.Killed) {
		b.system.Kill(k.pid())
	} else {
		b.system.Send(b.ctx, k.pid(), reason)
	}
	synctest.Wait()
}

func specs(kids []*kid) []supervisor.ChildSpec {
	list := make([]supervisor.ChildSpec, 0, len(kids))
	for _, k := range kids {
		list = append(list, k.ChildSpec)
	}
	return list
}

// supervise starts a supervisor with these kids, one_for_one unless config says otherwise.
func (b *bench) supervise(config supervisor.Config, kids ...*kid) *supervisor.Supervisor {
	b.t.Helper()
	if config.Strategy == 0 {
		config.Strategy = supervisor.OneForOne
	}
	config.Children = specs(kids)
	s, err := supervisor.Start(b.ctx, b.system, config)
	if err != nil {
		b.t.Fatalf("Start: %v", err)
	}
	return s
}

// dynamic starts a dynamic supervisor.
func (b *bench) dynamic(config supervisor.DynamicConfig) *supervisor.DynamicSupervisor {
	b.t.Helper()
	d, err := supervisor.StartDynamic(b.ctx, b.system, config)
	if err != nil {
		b.t.Fatalf("StartDynamic: %v", err)
	}
	return d
}

// add starts kids under a dynamic supervisor.
func (b *bench) add(d *supervisor.DynamicSupervisor, kids ...*kid) {
	b.t.Helper()
	for _, k := range kids {
		if _, err := d.StartChild(b.ctx, k.ChildSpec); err != nil {
			b.t.Fatalf("StartChild of %s: %v", k.ID, err)
		}
	}
}

// watch waits, when asked, until all is quiet and gives why a process has ended, or nil if it lives.
func (b *bench) watch(pid messages.PID) func() error {
	ending := process.Watch(b.system, pid)
	return func() error {
		synctest.Wait()
		if b.system.Alive(pid) {
			return nil
		}
		<-ending.Done()
		return ending.Reason()
	}
}

// wantEnd compares the reason of an end.
func (b *bench) wantEnd(why func() error, want error) {
	b.t.Helper()
	if got := why(); !errors.Is(got, want) || (got == nil) != (want == nil) {
		b.t.Errorf("it ended with %v, want %v", got, want)
	}
}

// lister is a supervisor of any kind.
type lister interface {
	WhichChildren(ctx context.Context) ([]supervisor.Child, error)
	CountChildren(ctx context.Context) (supervisor.Counts, error)
}

// children lists what a supervisor lists: "c b? a!", newest first; ? is restarting, ! does not run.
func (b *bench) children(s lister) string {
	b.t.Helper()
	list, err := s.WhichChildren(b.ctx)
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, c := range list {
		switch {
		case c.Restarting:
			names = append(names, c.ID+"?")
		case c.PID.IsZero():
			names = append(names, c.ID+"!")
		default:
			names = append(names, c.ID)
		}
	}
	return strings.Join(names, " ")
}

// listed compares that with what was expected.
func (b *bench) listed(s lister, want string) {
	b.t.Helper()
	if got := b.children(s); got != want {
		b.t.Errorf("the supervisor lists %q, want %q", got, want)
	}
}

func (b *bench) wantErr(got, want error) {
	b.t.Helper()
	if (got == nil) != (want == nil) || !errors.Is(got, want) {
		b.t.Errorf("got %v, want %v", got, want)
	}
}

func (b *bench) counted(s lister, want supervisor.Counts) {
	b.t.Helper()
	if got, err := s.CountChildren(b.ctx); err != nil || got != want {
		b.t.Errorf("counted %+v, %v; want %+v", got, err, want)
	}
}
