package actors

// Kill kills the runner's server, as a crash of ours would.
func (r *TaskRunner) Kill() { r.system.Kill(r.server().PID()) }

// Crash kills all of the runner at once, as the death of its program would: nothing is put back.
func (r *TaskRunner) Crash() {
	for _, run := range r.runs.all() {
		run.mu.Lock()
		pid := run.pid
		run.mu.Unlock()
		r.system.Kill(pid)
	}
	r.system.Kill(r.keeper.PID())
	r.Kill()
	r.system.Kill(r.children.PID())
}
