package actors

import "fmt"

// Kill kills the runner's server, as a crash of ours would.
func (r *TaskRunner) Kill() { r.system.Kill(r.server().PID()) }

// Node is the process that the runner lives in, as stores know it.
func (r *TaskRunner) Node() string { return r.system.Node() }

// KillTasks kills the runner's task supervisor.
func (r *TaskRunner) KillTasks() { r.system.Kill(r.tasks.Load().Supervisor().PID()) }

// Crash kills all of the runner at once, as the death of its program would: nothing is put back.
func (r *TaskRunner) Crash() {
	for _, run := range r.runs.list() {
		run.mu.Lock()
		pid := run.pid
		run.mu.Unlock()
		r.system.Kill(pid)
	}
	r.system.Kill(r.tree.PID())
	r.Kill()
	r.system.Kill(r.tasks.Load().Supervisor().PID())
	<-r.watched
}

// Dump describes where the runner stands.
func (r *TaskRunner) Dump() string {
	text := fmt.Sprintf("running %d waiting %d held %d backlog %v next %s unrecorded %d\n", r.admission.running,
		r.admission.waiting, r.admission.held, r.admission.backlog, r.claimer.next, r.writer.pending())
	for _, run := range r.runs.list() {
		text += fmt.Sprintf("run %+v stage %d slot %v pid %s told %v ending %+v fate %+v\n", run.task, run.stage, run.slot,
			run.pid, run.told, run.ending, run.fate)
	}
	return text
}

// Listeners counts those who are to be told of the task's end.
func (t *task) Listeners() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.told)
}
