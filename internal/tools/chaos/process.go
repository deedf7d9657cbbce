package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// process is a child as its parent has it.
type process struct {
	number int // into history.Lives
	slot   int
	cmd    *exec.Cmd
	in     io.WriteCloser
	told   chan command // what it is yet to be told
	errors *tail
	gone   chan struct{} // closed when it has ended and all that it told was heard

	// Under the session's lock.
	ready   bool
	expects bool // its end: somebody has killed it or told it to stop
	marks   map[what]chan event
}

// launch starts the program itself as a child. What it tells is heard until it ends.
func launch(program string, config childConfig, heard func(event)) (*process, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	p := &process{errors: &tail{}, gone: make(chan struct{}), told: make(chan command, 1000), marks: map[what]chan event{}}
	events, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd = exec.Command(program) //nolint:noctx // it is killed in its time, and dies with us
	p.cmd.Env = append(os.Environ(), asChild+"="+string(text))
	p.cmd.ExtraFiles, p.cmd.Stderr = []*os.File{out}, p.errors
	dieWithUs(p.cmd)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	started := make(chan error)
	go p.live(started, events, out, heard)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("chaos: start a child: %w", err)
	}
	go p.say()
	return p, nil
}

// live starts the child and hears it to its end, on a thread of its own: the kernel takes the end of the thread that started a
// process for the end of us.
func (p *process) live(started chan<- error, events io.ReadCloser, out io.Closer, heard func(event)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.gone)
	err := p.cmd.Start()
	_ = out.Close() // the child's end; without it we would never see the pipe's
	started <- err
	if err == nil {
		if err = hear(events, heard); err != nil {
			_, _ = fmt.Fprintln(p.errors, err)
		}
		_ = p.cmd.Wait() // how it ended, its state says
	}
	_ = events.Close()
}

// tell has the child told a command, if there is room among those that wait.
func (p *process) tell(m command) {
	select {
	case p.told <- m:
	default:
	}
}

// say tells the child its commands. One that is dead or stands still keeps nobody waiting.
func (p *process) say() {
	for {
		select {
		case m := <-p.told:
			line, _ := json.Marshal(m) //nolint:errchkjson // plain fields
			_, _ = p.in.Write(append(line, '\n'))
		case <-p.gone:
			return
		}
	}
}

// wasKilled reports whether it was SIGKILL that ended it.
func (p *process) wasKilled() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const tailBytes = 32 << 10

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*tailBytes {
		t.kept = bytes.Clone(t.kept[len(t.kept)-tailBytes:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
