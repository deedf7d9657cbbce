package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/servertest"
	"github.com/taskrunner-go/taskrunner/store"
	"github.com/taskrunner-go/taskrunner/store/postgres"
)

// childURL is in the environment of a test program that is to be another process with a store, and says on which database.
const childURL = "TASKRUNNER_TEST_CHILD_URL"

// childTasks is how many tasks run in such a process: those that it inserted as running, and as many that it claimed.
const childTasks = 5

// child runs tasks until it is killed. On each line that it reads it gives their outcomes, and writes what it was answered.
func child(url string) {
	schema, name := os.Getenv("SCHEMA"), os.Getenv("NODE")
	s, err := postgres.Open(context.Background(), url, postgres.Config{Schema: schema})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = s.Hold(store.Holder{Runner: runner, Node: name, Notify: func(signal store.Signal) {
		if signal&store.SignalTaken != 0 {
			fmt.Println("taken")
		}
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	var outcomes []store.Outcome
	for range childTasks {
		young, waiting := newTask(), newTask()
		young.Node, waiting.Kind = name, name
		inserted, _ := s.Insert(context.Background(), moment, []store.NewTask{young, waiting})
		claimed, _ := s.Claim(context.Background(), moment, store.Claim{Runner: runner, Node: name, Kinds: []string{name}, Limit: 1})
		outcomes = append(outcomes, outcome(inserted[0].Task, store.Completed), outcome(claimed.Tasks[0], store.Completed))
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		refused, err := s.Finish(context.Background(), outcomes)
		fmt.Println("answers:", len(slices.DeleteFunc(refused, func(err error) bool { return err == nil })), "refused, error", err)
	}
}

// process is a child.
type process struct {
	*exec.Cmd

	in     io.Writer
	lines  *bufio.Scanner
	passed []string // lines that were read and not expected yet
}

// startChild returns when its tasks run.
func startChild(t testing.TB, url, schema, name string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childURL+"="+url, "SCHEMA="+schema, "NODE="+name)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	p := &process{Cmd: cmd, in: in, lines: bufio.NewScanner(out)}
	p.expect(t, "ready")
	return p
}

// expect gives the first line with this beginning, of those that were passed over or of those to come.
func (p *process) expect(t testing.TB, beginning string) string {
	t.Helper()
	begins := func(line string) bool { return strings.HasPrefix(line, beginning) }
	if i := slices.IndexFunc(p.passed, begins); i >= 0 {
		line := p.passed[i]
		p.passed = slices.Delete(p.passed, i, i+1)
		return line
	}
	for p.lines.Scan() {
		if begins(p.lines.Text()) {
			return p.lines.Text()
		}
		p.passed = append(p.passed, p.lines.Text())
	}
	t.Fatalf("the child has ended without saying %q; it said %q", beginning, p.passed)
	return ""
}

// TestKilled: what runs in a process that is killed runs elsewhere within 5 seconds.
func TestKilled(t *testing.T) {
	t.Parallel()
	url, schema := server.NewDatabase(t), newSchema()
	s := open(t, url, postgres.Config{Schema: schema})
	release, err := s.Hold(store.Holder{Runner: runner, Node: node})
	must(t, err)
	defer release()
	var children []*process
	for i := range 4 {
		children = append(children, startChild(t, url, schema, fmt.Sprint("child-", i)))
	}
	var took []time.Duration
	for i, p := range children {
		time.Sleep(time.Duration(i) * 230 * time.Millisecond) // at different moments between two beats
		killed := time.Now()
		must(t, p.Process.Kill())
		kinds := []string{kind, fmt.Sprint("child-", i)}
		for n := 0; n < 2*childTasks; {
			claimed, err := s.Claim(t.Context(), moment, store.Claim{Runner: runner, Node: node, Kinds: kinds, Limit: 100})
			must(t, err)
			n += len(claimed.Tasks)
			for _, task := range claimed.Tasks {
				if task.Run != 2 || task.Attempt != 2 {
					t.Errorf("claimed run %d, attempt %d", task.Run, task.Attempt)
				}
			}
			if time.Since(killed) > patience {
				t.Fatalf("after %v only %d tasks run again", patience, n)
			}
			time.Sleep(5 * time.Millisecond) // it polls
		}
		took = append(took, time.Since(killed))
	}
	slices.Sort(took)
	t.Logf("from the kill until all run again: %v", took)
	if took[len(took)-1] > 5*time.Second {
		t.Errorf("it took %v, want at most 5 s", took[len(took)-1])
	}
}

// TestStopped: a process that was stopped for longer than its lease lasts finds its outcomes refused, and is told.
func TestStopped(t *testing.T) {
	t.Parallel()
	url, schema := server.NewDatabase(t), newSchema()
	s := open(t, url, postgres.Config{Schema: schema})
	p := startChild(t, url, schema, "stopped")
	must(t, p.Process.Signal(syscall.SIGSTOP))
	eventually(t, "its tasks are taken back", func() bool {
		counts, err := s.Counts(t.Context(), runner)
		return err == nil && counts[store.Available] == 2*childTasks
	})
	again := claim(t, s, 1)[0] // one of them runs elsewhere by now
	must(t, p.Process.Signal(syscall.SIGCONT))
	_, _ = fmt.Fprintln(p.in, "finish")
	if got, want := p.expect(t, "answers"), fmt.Sprintf("answers: %d refused, error <nil>", 2*childTasks); got != want {
		t.Errorf("it was answered %q, want %q", got, want)
	}
	p.expect(t, "taken")
	must(t, finish(t.Context(), s, outcome(again, store.Completed)))
	wantCounts(t, s, map[store.State]int64{store.Available: 2*childTasks - 1, store.Completed: 1})
}

// TestNobodyIsDead: neither an outage makes anybody dead, nor a server that stands still, nor its clock.
func TestNobodyIsDead(t *testing.T) {
	t.Parallel()
	own := servertest.Postgres(t, servertest.FakeClock())
	url := own.NewDatabase(t)
	var signals []chan bool
	var stores []*postgres.Store
	for i := range 2 {
		s, taken := open(t, url, postgres.Config{}), make(chan bool, 100)
		_, err := s.Hold(store.Holder{Runner: runner, Node: fmt.Sprint("node-", i), Notify: func(signal store.Signal) {
			if signal&store.SignalTaken != 0 {
				taken <- true
			}
		}})
		must(t, err)
		insert(t, s, newTask(func(n *store.NewTask) { n.Node = fmt.Sprint("node-", i) }))
		stores, signals = append(stores, s), append(signals, taken)
	}
	const longer = 4 * time.Second // than a lease lasts
	for what, disturb := range map[string]func(){
		"an hour forth":  func() { own.SetClock(time.Hour) },
		"an hour back":   func() { own.SetClock(-time.Hour) },
		"standing still": func() { own.Pause(); defer own.Continue(); time.Sleep(longer) },                // see longer
		"away":           func() { own.Stop(servertest.StopFast); defer own.Start(); time.Sleep(longer) }, // see longer
	} {
		disturb()
		time.Sleep(longer) // as long as somebody could think that somebody is dead
		for i, s := range stores {
			n, err := s.Recover(t.Context(), moment, runner)
			if err != nil || n != 0 {
				t.Errorf("%s: recovered %d, error %v", what, n, err)
			}
			if len(signals[i]) > 0 {
				t.Errorf("%s: node %d was thought dead", what, i)
			}
		}
	}
	wantCounts(t, stores[0], map[store.State]int64{store.Running: 2})
}

// TestLeaseOfNone: a call for a runner that holds waits until its lease is recorded.
func TestLeaseOfNone(t *testing.T) {
	t.Parallel()
	s, proxy, _ := interrupted(t, postgres.Config{})
	goAway(proxy)
	release, err := s.Hold(store.Holder{Runner: runner, Node: node})
	must(t, err)
	if _, err := s.Hold(store.Holder{Runner: runner, Node: node}); !errors.Is(err, store.ErrHeld) {
		t.Errorf("a second one: %v, want ErrHeld", err)
	}
	_, err = s.Insert(shortly(t), moment, []store.NewTask{newTask(running)})
	wantAway(t, "Insert", err)
	proxy.Pass()
	insert(t, s, newTask(running))
	if n, err := s.Recover(t.Context(), moment, runner); n != 0 || err != nil {
		t.Errorf("recovered %d of the living, error %v", n, err)
	}
	release()
	if n, err := s.Recover(t.Context(), moment, runner); n != 1 || err != nil {
		t.Errorf("recovered %d, want 1; error %v", n, err)
	}
}
