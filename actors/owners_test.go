package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
)

// stage is a system with a task supervisor, in a bubble.
type stage struct {
	*testing.T
	ctx    context.Context // outside of all processes
	system *actors.System
	tasks  *actors.TaskSupervisor
	log    *logbook
}

func onStage(t *testing.T, config actors.TaskSupervisorConfig, test func(r *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{}
		r := &stage{T: t, ctx: t.Context(), log: log, system: actors.NewSystem(actors.SystemConfig{Logger: slog.New(log)})}
		var err error
		if r.tasks, err = actors.StartTaskSupervisor(r.ctx, r.system, config); err != nil {
			t.Fatal(err)
		}
		test(r)
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		if err := r.system.Stop(ctx); err != nil {
			t.Errorf("the system: %v", err)
		}
		if time.Sleep(24 * time.Hour); r.system.Abandoned() != 0 || r.system.Len() != 0 {
			t.Errorf("%d abandoned, %d processes in the end", r.system.Abandoned(), r.system.Len())
		}
	})
}

// starters are the two ways in which tasks run.
func (r *stage) starters() map[string]actors.Starter {
	return map[string]actors.Starter{"supervised": r.tasks, "unsupervised": actors.Unsupervised(r.system)}
}

// owner is who starts tasks.
type owner struct {
	*recorder
	r      *stage
	pid    messages.PID
	do     func(f func(ctx context.Context) error) error // runs f as the owner, who lives on; the error is that of f
	end    func(f func(ctx context.Context) error)       // has the owner end with what f returns
	server bool                                          // it has a mailbox
}

// recorder is a GenServer that does as it is told and keeps what it gets.
type recorder struct {
	mu         sync.Mutex
	all        []any
	terminated error
}

func (o *recorder) HandleCall(ctx context.Context, request any, _ actors.From) (any, error) {
	return nil, request.(func(ctx context.Context) error)(ctx)
}

func (o *recorder) HandleCast(ctx context.Context, message any) error {
	return message.(func(ctx context.Context) error)(ctx)
}

func (o *recorder) HandleInfo(_ context.Context, message any) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, message)
	return nil
}

func (o *recorder) Terminate(_ context.Context, reason error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.terminated = reason
}

// got gives what has come since it was asked last, when all is quiet.
func (o *recorder) got() []any {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.all
	o.all = nil
	return all
}

// startServer gives an owner with a mailbox.
func (r *stage) startServer(options actors.GenServerOptions) *owner {
	r.Helper()
	o := &owner{recorder: &recorder{}, r: r, server: true}
	g, err := actors.StartGenServer(r.ctx, r.system, o.recorder, options)
	if err != nil {
		r.Fatal(err)
	}
	o.pid = g.PID()
	o.do = func(f func(ctx context.Context) error) error {
		_, err := g.Call(r.ctx, f)
		return err
	}
	o.end = func(f func(ctx context.Context) error) { g.Cast(r.ctx, f) }
	return o
}

// startFunction gives an owner that is the process of a function.
func (r *stage) startFunction() *owner {
	r.Helper()
	type job struct {
		f    func(ctx context.Context) error
		done chan error
	}
	jobs, ends := make(chan job), make(chan func(ctx context.Context) error, 1)
	pid, err := actors.StartTask(r.ctx, actors.Unsupervised(r.system), func(ctx context.Context) error {
		for {
			select {
			case j := <-jobs:
				j.done <- j.f(ctx)
			case f := <-ends:
				return f(ctx)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	if err != nil {
		r.Fatal(err)
	}
	return &owner{
		recorder: &recorder{}, r: r, pid: pid,
		do: func(f func(ctx context.Context) error) error {
			j := job{f, make(chan error, 1)}
			jobs <- j
			return <-j.done
		},
		end: func(f func(ctx context.Context) error) { ends <- f },
	}
}

// outside gives an owner that is no process.
func (r *stage) outside() *owner {
	return &owner{
		recorder: &recorder{}, r: r,
		do:  func(f func(ctx context.Context) error) error { return f(r.ctx) },
		end: func(f func(ctx context.Context) error) { _ = f(r.ctx) },
	}
}

// eachOwner tests with each kind of owner, on a stage of its own.
func eachOwner(t *testing.T, test func(r *stage, o *owner)) {
	t.Helper()
	for name, start := range map[string]func(r *stage) *owner{
		"a server":   func(r *stage) *owner { return r.startServer(actors.GenServerOptions{}) },
		"a function": (*stage).startFunction,
		"outside":    (*stage).outside,
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, actors.TaskSupervisorConfig{}, func(r *stage) { test(r, start(r)) })
		})
	}
}

// start starts a task as the owner, linked.
func (o *owner) start(under actors.Starter, f func(ctx context.Context) (int, error)) *actors.Task[int] {
	return o.begin(actors.Async[int], under, f)
}

// startNoLink starts a task as the owner, not linked.
func (o *owner) startNoLink(under actors.Starter, f func(ctx context.Context) (int, error)) *actors.Task[int] {
	return o.begin(actors.AsyncNoLink[int], under, f)
}

type async = func(context.Context, actors.Starter, func(ctx context.Context) (int, error), ...actors.TaskOption) (*actors.Task[int], error)

func (o *owner) begin(how async, under actors.Starter, f func(ctx context.Context) (int, error)) (task *actors.Task[int]) {
	o.r.Helper()
	var err error
	_ = o.do(func(ctx context.Context) error { // whose own error says that a linked task has ended the owner at once
		task, err = how(ctx, under, f)
		return err
	})
	if err != nil {
		o.r.Fatal(err)
	}
	return task
}

// outcome is what the owner gets when it asks for it.
type outcome struct {
	value int
	ended bool
	err   error
	took  time.Duration
}

func (o outcome) String() string {
	return fmt.Sprintf("%d, %v, %v after %s", o.value, o.ended, o.err, o.took)
}

// ask is a way of asking for an outcome.
type ask func(ctx context.Context, task *actors.Task[int]) (int, bool, error)

func awaiting(ctx context.Context, task *actors.Task[int]) (int, bool, error) {
	value, err := task.Await(ctx)
	return value, true, err
}

// awaitingFor is awaiting with a timeout.
func awaitingFor(d time.Duration) ask {
	return func(ctx context.Context, task *actors.Task[int]) (int, bool, error) {
		ctx, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		return awaiting(ctx, task)
	}
}

func yielding(timeout time.Duration) ask {
	return func(ctx context.Context, task *actors.Task[int]) (int, bool, error) { return task.Yield(ctx, timeout) }
}

func shuttingDown(timeout time.Duration) ask {
	return func(ctx context.Context, task *actors.Task[int]) (int, bool, error) {
		return task.Shutdown(ctx, timeout)
	}
}

func ignoring(ctx context.Context, task *actors.Task[int]) (int, bool, error) {
	return task.Ignore(ctx)
}

// pausing has the owner do something else, so that messages may queue.
func pausing(d time.Duration) ask {
	return func(context.Context, *actors.Task[int]) (int, bool, error) { time.Sleep(d); return 0, false, nil }
}

// ask asks for the outcome of a task; each way after the one before, in one callback of a server. It gives the last answer.
func (o *owner) ask(task *actors.Task[int], ways ...ask) (got outcome) {
	_ = o.do(func(ctx context.Context) error { got = askFor(ctx, task, ways); return nil })
	return got
}

func askFor(ctx context.Context, task *actors.Task[int], ways []ask) (got outcome) {
	for _, way := range ways {
		began := time.Now()
		got.value, got.ended, got.err = way(ctx, task)
		got.took = time.Since(began)
	}
	return got
}

// startAndAsk is a start, linked, and ask in one callback of a server, so that it cannot get the messages in between.
func (o *owner) startAndAsk(under actors.Starter, f func(ctx context.Context) (int, error), ways ...ask) outcome {
	return o.beginAndAsk(actors.Async[int], under, f, ways...)
}

func (o *owner) beginAndAsk(how async, under actors.Starter, f func(ctx context.Context) (int, error), ways ...ask) (got outcome) {
	o.r.Helper()
	if err := o.do(func(ctx context.Context) error {
		task, err := how(ctx, under, f)
		if err == nil {
			got = askFor(ctx, task, ways)
		}
		return err
	}); err != nil {
		o.r.Fatal(err)
	}
	return got
}

// expect compares an outcome; an error is what errors.Is finds in it.
func (r *stage) expect(what string, got, want outcome) {
	r.Helper()
	if got.value != want.value || got.ended != want.ended || !errors.Is(got.err, want.err) || got.took != want.took {
		r.Errorf("%s: got %s, want %s", what, got, want)
	}
}

// expectMessages compares what the owner got.
func (o *owner) expectMessages(what string, want ...any) {
	o.r.Helper()
	if got := o.got(); !slices.Equal(got, want) {
		o.r.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// hear gives the end of a process for those who wait in the bubble.
func (r *stage) hear(pid messages.PID) *owner {
	r.Helper()
	o := r.startServer(actors.GenServerOptions{})
	if err := o.do(func(ctx context.Context) error { r.system.Monitor(ctx, pid); return nil }); err != nil {
		r.Fatal(err)
	}
	return o
}

// reason is why the process that is heard of ended; nil if it has not.
func (o *owner) reason() error {
	for _, message := range o.got() {
		if down, ok := message.(messages.Down); ok {
			return down.Reason
		}
	}
	return nil
}

// The functions of tasks.

// after gives a value when the time is over, unless it is told to stop.
func after(d time.Duration, value int) func(ctx context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		timer := time.NewTimer(max(d, 1))
		defer timer.Stop()
		select {
		case <-timer.C:
			return value, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// at gives a value, at once.
func at(value int) func(ctx context.Context) (int, error) {
	return func(context.Context) (int, error) { return value, nil }
}

// failing fails with the error, at once.
func failing(err error) func(ctx context.Context) (int, error) {
	return func(context.Context) (int, error) { return 0, err }
}

// waiting waits until it is told to stop.
func waiting(ctx context.Context) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// deaf does not hear that it is told to stop.
func deaf(d time.Duration, value int) func(ctx context.Context) (int, error) {
	return func(context.Context) (int, error) {
		time.Sleep(d)
		return value, nil
	}
}

// logbook keeps what is logged.
type logbook struct {
	mu    sync.Mutex
	lines []line
}

type line struct {
	message string
	attrs   map[string]any
}

func (l *logbook) Enabled(context.Context, slog.Level) bool { return true }
func (l *logbook) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logbook) WithGroup(string) slog.Handler            { return l }
func (l *logbook) Handle(_ context.Context, record slog.Record) error {
	got := line{record.Message, map[string]any{}}
	record.Attrs(func(a slog.Attr) bool {
		got.attrs[a.Key] = a.Value.Any()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, got)
	return nil
}

// failures gives the lines about tasks that failed, when all is quiet, and forgets all.
func (l *logbook) failures() []line {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := slices.DeleteFunc(l.lines, func(got line) bool { return got.message != "task failed" })
	l.lines = nil
	return lines
}
