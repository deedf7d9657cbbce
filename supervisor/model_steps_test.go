package supervisor_test

import (
	"fmt"
	"slices"
	"testing/synctest"
	"time"

	"github.com/taskrunner-go/taskrunner/internal/process"
	"github.com/taskrunner-go/taskrunner/messages"
	"github.com/taskrunner-go/taskrunner/supervisor"
)

// step does one random thing.
func (r *run) step() {
	if r.tick > 0 {
		r.compare("a tick", func() { r.rules.pass(r.tick) }, func() { time.Sleep(r.tick) })
		if r.rules.top.state != up {
			return
		}
	}
	switch n := r.draw("step", 20); {
	case n < 7:
		r.stepEnd()
	case n < 9:
		r.stepAnswers()
	case n < 11:
		r.stepTime()
	case n < 12:
		r.stepEndSupervisor()
	default:
		r.stepRequest()
	}
}

// living picks somebody who runs, or nobody if there is none.
func (r *run) living(is func(n *node) bool) *node {
	list := slices.DeleteFunc(r.rules.living(), func(n *node) bool { return !is(n) })
	if len(list) == 0 {
		return nil
	}
	return pick(r, "who", list...)
}

// stepEnd has a worker end.
func (r *run) stepEnd() {
	n := r.living(func(n *node) bool { return n.kind == aWorker })
	if n == nil {
		return
	}
	reason := pick(r, "reason", modelReasons...)
	r.compare(fmt.Sprint(n.id, " ends: ", reason), func() {
		if reason != error(messages.Killed) {
			r.rules.record("-", n)
		}
		r.rules.ended(n, messages.IsClean(reason))
	}, func() { r.end(r.kids[n.id], reason) })
}

// stepAnswers has the next starts of somebody fail, or answer ErrIgnore.
func (r *run) stepAnswers() {
	var ids []string
	for id := range r.kids {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	id := pick(r, "whose", ids...)
	var list []error
	for range 1 + r.draw("starts", 4) {
		list = append(list, pick(r, "answer", nil, errBoom, errBoom, supervisor.ErrIgnore))
	}
	r.rt.Log(id, "will answer", list)
	r.rules.answers[id] = list
	r.kids[id].will(list...)
}

func (r *run) stepTime() {
	d := pick(r, "time", time.Second/2, time.Second, 2*time.Second, 5*time.Second)
	r.compare(fmt.Sprint(d, " pass"), func() { r.rules.pass(d) }, func() { time.Sleep(d) })
}

// stepEndSupervisor stops or kills a supervisor from outside. One of supervisors is not killed: those below it would still have their
// names when it is started again.
func (r *run) stepEndSupervisor() {
	n := r.living(func(n *node) bool { return n.kind != aWorker && n.above != nil })
	if n == nil || r.draw("spared", 8) == 0 {
		n = r.rules.top
	}
	if r.draw("kill", 2) == 0 || slices.ContainsFunc(n.children, func(c *node) bool { return c.kind != aWorker }) {
		r.compare("stop of supervisor "+n.id, func() {
			r.rules.stopAll(n)
			r.rules.ended(n, true)
		}, func() {
			r.wantErr(process.Stop(r.ctx, r.system, messages.Name(n.id), messages.Shutdown), nil)
		})
		return
	}
	r.compare("kill of supervisor "+n.id, func() { r.rules.killed(n) }, func() { r.system.Kill(r.kids[n.id].pid()) })
}

// stepRequest asks a supervisor for something.
func (r *run) stepRequest() {
	n := r.living(func(n *node) bool { return n.kind != aWorker })
	if n.kind == aDynamic {
		r.stepDynamic(n, supervisor.Dynamic(r.system, messages.Name(n.id)))
		return
	}
	s := supervisor.Static(r.system, messages.Name(n.id))
	id := r.childOf(n)
	switch pick(r, "request", "start", "terminate", "restart", "delete") {
	case "start":
		p := r.childPlan(min(1, 3-depth(n)), n.auto)
		p.id = r.added(n, p)
		r.answered("start of "+p.id+" under "+n.id, func() error { return r.rules.startChild(n, p) }, func() error {
			_, err := s.StartChild(r.ctx, r.spec(p))
			return err
		})
	case "terminate":
		r.answered("terminate of "+id, func() error { return r.rules.terminateChild(n, id) }, func() error { return s.TerminateChild(r.ctx, id) })
	case "restart":
		r.answered("restart of "+id, func() error { return r.rules.restartChild(n, id) }, func() error {
			_, err := s.RestartChild(r.ctx, id)
			return err
		})
	case "delete":
		r.answered("delete of "+id, func() error { return r.rules.deleteChild(n, id) }, func() error { return s.DeleteChild(r.ctx, id) })
	}
}

func depth(n *node) (levels int) {
	for ; n.above != nil; n = n.above {
		levels++
	}
	return levels
}

// childOf picks the id of a child, or of nobody.
func (r *run) childOf(n *node) string {
	ids := []string{"nobody"}
	for _, c := range n.children {
		ids = append(ids, c.id, c.id)
	}
	return pick(r, "child", ids...)
}

// added gives the id of a plan, or now and then that of a child which there is.
func (r *run) added(n *node, p plan) string {
	if len(n.children) > 0 && r.draw("again", 3) == 0 {
		return pick(r, "child", n.children...).id
	}
	return p.id
}

// spec makes the child of a plan, or gives that of a child which there is.
func (r *run) spec(p plan) supervisor.ChildSpec {
	if k := r.kids[p.id]; k != nil {
		return k.ChildSpec
	}
	return r.real(p).ChildSpec
}

// stepDynamic starts or terminates a child of a dynamic supervisor.
func (r *run) stepDynamic(n *node, d *supervisor.DynamicSupervisor) {
	if r.draw("request", 3) > 0 {
		p := plan{id: r.id("d"), restart: pick(r, "restart", supervisor.Permanent, supervisor.Transient, supervisor.Temporary), brutal: r.draw("brutal", 4) == 0}
		k := r.real(p)
		if r.draw("fails", 4) == 0 {
			answer := pick(r, "answer", errBoom, supervisor.ErrIgnore)
			r.rules.answers[p.id] = []error{answer}
			k.will(answer)
		}
		r.answered("start of "+p.id+" under "+n.id, func() error { return r.rules.startChild(n, p) }, func() error {
			_, err := d.StartChild(r.ctx, k.ChildSpec)
			return err
		})
		return
	}
	id, pid := r.childOf(n), messages.PID{}
	if k := r.kids[id]; k != nil {
		pid = k.pid()
	}
	r.answered("terminate of "+id, func() error { return r.rules.terminateChild(n, id) }, func() error {
		err := d.TerminateChild(r.ctx, pid)
		synctest.Wait()
		return err
	})
}
