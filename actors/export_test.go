package actors

// Kill kills the runner's server, as a crash of ours would.
func (r *TaskRunner) Kill() { r.system.Kill(r.server().PID()) }
