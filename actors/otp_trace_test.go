package actors_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// TestOTPTraces plays each scenario of testdata/otp/scenarios.txt, and wants what real OTP did, line by line. What that was
// is in traces.txt, which make otp-traces makes anew; where we differ, differs.txt says why.
func TestOTPTraces(t *testing.T) {
	t.Parallel()
	traces := map[string][]string{}
	for _, file := range []string{"traces.txt", "differs.txt"} {
		for _, tr := range otpReadTraces(t, file) {
			traces[tr.name] = tr.lines
		}
	}
	for _, s := range otpReadScenarios(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if got, want := otpPlay(t, s), traces[s.name]; !slices.Equal(got, want) {
					t.Errorf("here:\n%s\nwanted:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			})
		})
	}
}

// TestOTPDifferences: what is said to differ does, and there is little of it.
func TestOTPDifferences(t *testing.T) {
	t.Parallel()
	traces := otpReadTraces(t, "traces.txt")
	differs := otpReadTraces(t, "differs.txt")
	for _, d := range differs {
		i := slices.IndexFunc(traces, func(tr otpTrace) bool { return tr.name == d.name })
		if i < 0 || slices.Equal(traces[i].lines, d.lines) {
			t.Errorf("%s: there is no such scenario, or it does not differ", d.name)
		}
	}
	if len(differs) > 1 {
		t.Errorf("%d scenarios differ, want the one that has to", len(differs))
	}
}

// TestOTPTracesAreOfTheScenarios: make otp-traces was not forgotten.
func TestOTPTracesAreOfTheScenarios(t *testing.T) {
	t.Parallel()
	var scenarios, traces []string
	for _, s := range otpReadScenarios(t) {
		scenarios = append(scenarios, s.name, "> start")
		for _, step := range s.steps {
			scenarios = append(scenarios, "> "+step)
		}
	}
	for _, tr := range otpReadTraces(t, "traces.txt") {
		traces = append(traces, tr.name)
		for _, line := range tr.lines {
			if strings.HasPrefix(line, "> ") {
				traces = append(traces, line)
			}
		}
	}
	if !slices.Equal(scenarios, traces) {
		t.Error("traces.txt is not of these scenarios: run make otp-traces")
	}
	if n := len(otpReadScenarios(t)); n < 40 {
		t.Errorf("%d scenarios, want at least 40", n)
	}
}

// otpPlay plays a scenario and gives its trace.
func otpPlay(t *testing.T, s otpScenario) []string {
	w := otpNewWorld(t, s.trees)
	defer w.close()
	w.startClient(otpNewNode("client", []string{"me"}))
	for _, n := range s.trees {
		if n.kind == "client" {
			w.startClient(n)
		}
	}
	var lines []string
	for _, line := range append([]string{"start"}, s.steps...) {
		lines = append(lines, "> "+line)
		steps, unordered := strings.CutSuffix(line, " unordered")
		var results []string
		for step := range strings.SplitSeq(steps, "; ") {
			words := strings.Fields(step)
			if result := w.step(words[0], words[1:]); result != "" {
				results = append(results, "  = "+result)
			}
		}
		w.quiet()
		for _, event := range w.take(unordered) {
			lines = append(lines, "  "+event)
		}
		lines = append(lines, results...)
	}
	return lines
}

// step takes one step. The result is empty for a step that has none.
func (w *otpWorld) step(verb string, args []string) string {
	switch verb {
	case "start":
		return w.start()
	case "wait":
		time.Sleep(otpMilliseconds(args[0]))
		return ""
	case "heal":
		w.heal(args[0])
		return ""
	case "alive":
		return map[bool]string{true: "yes", false: "no"}[w.system.Alive(w.pid(args[0]))]
	case "exit", "kill", "signal", "send", "note", "busy":
		w.send(verb, w.pid(args[0]), args[1:])
		return ""
	case "stop", "call":
		return w.serverStep(verb, w.pid(args[0]), args[1:])
	case "link":
		return w.call(w.pid(args[0]), otpLinkTo{w.pid(args[1])})
	case "monitor":
		return w.call(w.pid(args[0]), otpWatch{w.pid(args[1])})
	case "start_child", "terminate_child", "restart_child", "delete_child":
		return w.childStep(verb, args[0], args[1:])
	case "which_children":
		return w.which(args[0])
	case "count_children":
		return w.counts(args[0])
	case "route":
		return w.route(args[0], args[1])
	}
	return w.taskStep(verb, args)
}

// start starts the outermost supervisor, in the process of the client that is called me.
func (w *otpWorld) start() string {
	for _, n := range w.trees {
		if n.kind != "client" {
			return w.do("me", func(ctx context.Context) string {
				_, err := w.startTree(ctx, n)
				return otpAnswerOf(err)
			})
		}
	}
	return ""
}

// otpAnswerOf is the result of a call to a supervisor: what it answered, or that it is not there.
func otpAnswerOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case err == messages.NoProc:
		return "exit noproc"
	case errors.Is(err, supervisor.ErrIgnore):
		return "ignore"
	}
	return "error " + otpShow(err)
}

// send does what nobody waits for.
func (w *otpWorld) send(verb string, to messages.PID, args []string) {
	ctx := w.ends
	switch verb {
	case "exit":
		actors.Server(w.system, to).Cast(ctx, otpExitWith{args[0]})
	case "kill":
		w.system.Kill(to)
	case "signal":
		w.system.Exit(ctx, to, otpReason(args[0]))
	case "send":
		w.system.Send(ctx, to, args[0])
	case "note":
		actors.Server(w.system, to).Cast(ctx, otpNote{args[0]})
	case "busy":
		actors.Server(w.system, to).Cast(ctx, otpBusy{otpMilliseconds(args[0])})
	}
}

func (w *otpWorld) serverStep(verb string, to messages.PID, args []string) string {
	if verb == "stop" {
		if err := actors.Server(w.system, to).StopWith(w.t.Context(), otpReason(append(args, "shutdown")[0])); err != nil {
			return "exit " + otpShow(err)
		}
		return "ok"
	}
	return w.call(to, args[0])
}

func (w *otpWorld) call(to messages.PID, request any) string {
	reply, err := actors.Server(w.system, to).Call(w.t.Context(), request)
	if err != nil {
		return "exit " + otpShow(err)
	}
	return fmt.Sprint(reply)
}

func (w *otpWorld) childStep(verb, name string, args []string) string {
	ctx, id, target := w.t.Context(), args[0], w.pid(name)
	static, dynamic := supervisor.Static(w.system, target), supervisor.Dynamic(w.system, target)
	switch {
	case w.kinds[name] != "supervisor" && verb == "start_child":
		return otpStarted(dynamic.StartChild(ctx, w.spec(otpNewNode("child", args))))
	case w.kinds[name] != "supervisor":
		return otpAnswerOf(dynamic.TerminateChild(ctx, w.pid(id)))
	case verb == "start_child":
		return otpStarted(static.StartChild(ctx, w.spec(otpNewNode("child", args))))
	case verb == "terminate_child":
		return otpAnswerOf(static.TerminateChild(ctx, id))
	case verb == "restart_child":
		return otpStarted(static.RestartChild(ctx, id))
	default:
		return otpAnswerOf(static.DeleteChild(ctx, id))
	}
}

// otpStarted is the result of a StartChild. Which child did not start is known to the caller.
func otpStarted(pid messages.PID, err error) string {
	if failed, ok := errors.AsType[*supervisor.StartError](err); ok {
		err = failed.Err
	}
	if err == nil && pid.IsZero() {
		return "ok undefined"
	}
	return otpAnswerOf(err)
}

// which lists children: in order for a supervisor, which is the only one that has one.
func (w *otpWorld) which(name string) string {
	var children []supervisor.Child
	var err error
	switch target := w.pid(name); w.kinds[name] {
	case "supervisor", "partition":
		children, err = supervisor.Static(w.system, target).WhichChildren(w.t.Context())
	default:
		children, err = supervisor.Dynamic(w.system, target).WhichChildren(w.t.Context())
	}
	if err != nil {
		return "exit " + otpShow(err)
	}
	words := make([]string, len(children))
	for i, c := range children {
		words[i] = w.listed(c, w.kinds[name])
	}
	if w.kinds[name] != "supervisor" {
		slices.Sort(words)
	}
	return strings.Join(append([]string{"children"}, words...), " ")
}

// listed is one child of a list. A DynamicSupervisor's list has no ids in OTP (DS-16), so they are left out here too.
func (w *otpWorld) listed(c supervisor.Child, kind string) string {
	id, state := c.ID, "pid"
	switch {
	case !c.PID.IsZero():
		id = w.nameOf(c.PID)
	case kind != "supervisor":
		id = "?"
	}
	if c.PID.IsZero() {
		state = map[bool]string{true: "restarting", false: "undefined"}[c.Restarting]
	}
	return id + ":" + state + ":" + c.Type.String()
}

func (w *otpWorld) counts(name string) string {
	c, err := supervisor.Static(w.system, w.pid(name)).CountChildren(w.t.Context())
	if err != nil {
		return "exit " + otpShow(err)
	}
	return fmt.Sprintf("specs %d active %d supervisors %d workers %d", c.Specs, c.Active, c.Supervisors, c.Workers)
}

func (w *otpWorld) route(name, key string) string {
	number, err := strconv.Atoi(key)
	if err != nil {
		return err.Error()
	}
	pid, err := supervisor.Partition(w.system, messages.Name(name)).Whereis(number)
	if err != nil {
		return "exit " + otpShow(err)
	}
	return w.nameOf(pid)
}
