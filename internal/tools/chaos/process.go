package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"

	"github.com/taskrunner-go/taskrunner/internal/tools/harness"
)

// process is a child as its parent has it.
type process struct {
	*harness.Process
	number int // into history.Lives
	slot   int
	in     io.WriteCloser
	told   chan command  // what it is yet to be told
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
	p := &process{gone: make(chan struct{}), told: make(chan command, 1000), marks: map[what]chan event{}}
	events, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program) //nolint:noctx // it is killed in its time, and dies with us
	cmd.Env = append(os.Environ(), asChild+"="+string(text))
	cmd.ExtraFiles = []*os.File{out}
	if p.in, err = cmd.StdinPipe(); err == nil {
		p.Process, err = harness.Launch(cmd, nil)
	}
	_ = out.Close() // the child's end; without it we would never see the pipe's
	if err != nil {
		_ = events.Close()
		return nil, err
	}
	go p.listen(events, heard)
	go p.say()
	return p, nil
}

// listen hears the child to its end.
func (p *process) listen(events io.ReadCloser, heard func(event)) {
	defer close(p.gone)
	if err := hear(events, heard); err != nil {
		p.AddWords(err.Error())
	}
	<-p.Gone()
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
