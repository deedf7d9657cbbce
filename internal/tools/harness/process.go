package harness

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Process is a child. Its methods are safe from any goroutine.
type Process struct {
	cmd    *exec.Cmd
	errors *Tail
	gone   chan struct{}
}

// Launch starts a child, which dies with us whatever we die of. What it prints as errors is kept. enter, if it is not nil, is
// called before on the thread that starts it, so that a child can be put where only a thread can go, such as a network namespace.
func Launch(cmd *exec.Cmd, enter func() error) (*Process, error) {
	p := &Process{cmd: cmd, errors: &Tail{}, gone: make(chan struct{})}
	cmd.Stderr = p.errors
	dieWithUs(cmd)
	started := make(chan error)
	go p.live(started, enter)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("harness: start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// live is the life of the child, on a thread of its own which ends with it: the kernel takes the end of the thread that started
// a process for the end of us, and a thread that was put somewhere else is of no use to others.
func (p *Process) live(started chan<- error, enter func() error) {
	runtime.LockOSThread()
	defer close(p.gone)
	var err error
	if enter != nil {
		err = enter()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // how it ended, its state says
	}
}

// Gone is closed when the child has ended.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// IsGone reports whether the child has ended.
func (p *Process) IsGone() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// Signal sends a signal. That the child has ended in the same moment is no error.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill kills the child, and returns when it is gone.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.gone
}

// Freeze has the child stand still, until Thaw.
func (p *Process) Freeze() error { return freeze(p.cmd.Process) }

// Thaw has a child go on that stands still.
func (p *Process) Thaw() error { return thaw(p.cmd.Process) }

// WasKilled reports, of a child that has ended, whether SIGKILL ended it.
func (p *Process) WasKilled() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Succeeded reports, of a child that has ended, whether its exit code is 0.
func (p *Process) Succeeded() bool { return p.cmd.ProcessState.Success() }

// LastWords is how the child has ended, if it has, and the end of what it printed as errors.
func (p *Process) LastWords() string {
	if !p.IsGone() {
		return p.errors.String()
	}
	return fmt.Sprintf("%s\n%s", p.cmd.ProcessState, p.errors)
}

// AddWords adds to what the child printed as errors.
func (p *Process) AddWords(text string) { _, _ = p.errors.Write([]byte(text + "\n")) }

// Tail keeps the end of what is written to it. Its methods are safe from any goroutine.
type Tail struct {
	mu   sync.Mutex
	kept []byte
}

const tailBytes = 32 << 10

// Write implements io.Writer.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*tailBytes {
		t.kept = bytes.Clone(t.kept[len(t.kept)-tailBytes:])
	}
	return len(p), nil
}

func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}

// Pause waits, and reports false if ctx ended first.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
